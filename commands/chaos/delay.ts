import { Args } from '@oclif/core'
import { ChaosCommand, faultFlags } from '../../src/terminal/chaos-command.js'
import { wholeNumberFlag } from '../../src/terminal/flags.js'

export default class ChaosDelay extends ChaosCommand {
  static override summary = 'Make everything that a node sends to its peers late, and prove that nothing was lost.'
  static override description =
    'Requests and answers wait, in their order. Clients write meanwhile; in the end every acknowledged write must be there and the cluster as before, or the exit code is 3.'
  static override examples = [
    '<%= config.bin %> chaos delay n2 --ms 200 --jitter 50',
    '<%= config.bin %> chaos delay leader --ms 1500 --for 20s',
  ]
  static override args = {
    node: Args.string({ required: true, ignoreStdin: true, description: 'its name or host:port; leader, follower or random' }),
  }
  static override flags = {
    ms: wholeNumberFlag({ required: true, min: 1, helpValue: '<ms>', description: 'how late, in milliseconds' }),
    jitter: wholeNumberFlag({ min: 0, helpValue: '<ms>', description: 'give or take so much (default 0)' }),
    ...faultFlags,
  }
  static override seeAlso = ['chaos drop', 'chaos partition']

  async run() {
    const { args, flags } = await this.parse(ChaosDelay)
    const timing = this.timing(flags)
    const connection = this.target(flags)
    const { conductFault } = await import('../../src/local/chaos.js')
    const { partOf } = await import('../../src/admin/chaos/plan.js')
    const draft = { kind: 'delay' as const, who: partOf(args.node), delayMs: flags.ms, jitterMs: flags.jitter ?? 0 }
    return await this.conduct(flags, (settings) => conductFault(connection, { draft, timing }, settings))
  }
}
