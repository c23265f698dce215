import { BenchCommand, drawFlags, loadFlags } from '../../src/terminal/bench-command.js'

export default class BenchPut extends BenchCommand {
  static override summary = 'Measure writes, each durable on a majority before it counts.'
  static override description =
    'As many clients as --clients write keys of their own prefix as fast as they are answered, or at --rate. The keys are removed at the end, also after Ctrl-C, which prints what was measured until then: exit 130. Exit 3 is an --assert that does not hold or a --compare that is worse; exit 11 some operations that failed, or keys that could not be removed. The result of --json is what --compare reads.'
  static override examples = [
    '<%= config.bin %> bench put',
    { description: 'One client: the latency of a write', command: '<%= config.bin %> bench put --clients 1' },
    { description: 'At 2000 a second, whatever the answers do', command: '<%= config.bin %> bench put --rate 2000' },
    {
      description: 'In a pipeline: fail when it is too slow',
      command: "<%= config.bin %> bench put --ops 20000 --assert 'p99<50ms' --assert 'ops>1000'",
    },
  ]
  static override flags = { ...loadFlags, ...drawFlags }

  async run() {
    const { flags } = await this.parse(BenchPut)
    const { runBench } = await import('../../src/admin/bench/run-bench.js')
    return this.measure(flags, 'put', runBench)
  }
}
