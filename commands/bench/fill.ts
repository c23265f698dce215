import { BenchCommand, loadFlags } from '../../src/terminal/bench-command.js'
import { wholeNumberFlag } from '../../src/terminal/flags.js'

const { duration: _, ops: __, keep: ___, ...flags } = loadFlags

export default class BenchFill extends BenchCommand {
  static override summary = 'Write many keys once and leave them there, to try a cluster of that size.'
  static override description = 'Every key from the first to --keys is written in order. They stay; the last line says how to remove them.'
  static override examples = [
    '<%= config.bin %> bench fill --keys 100000',
    { description: 'A gigabyte', command: '<%= config.bin %> bench fill --keys 16000 --value-size 64KB' },
  ]
  static override flags = { ...flags, keys: wholeNumberFlag({ min: 1, default: 10_000, description: 'how many keys (default 10000)' }) }

  async run() {
    const { flags } = await this.parse(BenchFill)
    const { runBench } = await import('../../src/admin/bench/run-bench.js')
    return this.measure({ ...flags, keep: true, ops: flags.keys }, 'fill', runBench)
  }
}
