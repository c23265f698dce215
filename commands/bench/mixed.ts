import { BenchCommand, drawFlags, loadFlags, readFlags } from '../../src/terminal/bench-command.js'
import { numberFlag } from '../../src/terminal/flags.js'

export default class BenchMixed extends BenchCommand {
  static override summary = 'Measure reads and writes of the same keys at the same time.'
  static override description = 'The keys are written, then read and written at random, --reads percent of them reads.'
  static override examples = [
    '<%= config.bin %> bench mixed',
    { description: 'Half of each, at 1000 a second', command: '<%= config.bin %> bench mixed --reads 50 --rate 1000' },
    { description: 'Is it worse than before?', command: '<%= config.bin %> bench mixed --compare before.json' },
  ]
  static override flags = {
    ...loadFlags,
    ...drawFlags,
    ...readFlags,
    reads: numberFlag({
      least: 0,
      most: 100,
      default: 80,
      helpValue: '<percent>',
      description: 'how many of the operations read (default 80)',
    }),
  }

  async run() {
    const { flags } = await this.parse(BenchMixed)
    const { runBench } = await import('../../src/admin/bench/run-bench.js')
    return this.measure(flags, 'mixed', runBench, { readShare: flags.reads / 100 })
  }
}
