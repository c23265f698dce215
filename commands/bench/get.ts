import { BenchCommand, drawFlags, loadFlags, readFlags } from '../../src/terminal/bench-command.js'

export default class BenchGet extends BenchCommand {
  static override summary = 'Measure reads of keys that are written first.'
  static override description =
    'The keys are written, then read at random: linearizable unless said otherwise. With --spread followers answer too. The keys are removed at the end.'
  static override examples = [
    '<%= config.bin %> bench get',
    { description: 'By the lease of the leader', command: '<%= config.bin %> bench get --read lease' },
    { description: 'Of all members, few keys far more popular', command: '<%= config.bin %> bench get --spread --dist zipf' },
  ]
  static override flags = { ...loadFlags, ...drawFlags, ...readFlags }

  async run() {
    const { flags } = await this.parse(BenchGet)
    const { runBench } = await import('../../src/admin/bench/run-bench.js')
    return this.measure(flags, 'get', runBench)
  }
}
