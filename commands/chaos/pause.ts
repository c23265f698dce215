import { Args } from '@oclif/core'
import { ChaosCommand, faultFlags } from '../../src/terminal/chaos-command.js'

export default class ChaosPause extends ChaosCommand {
  static override summary = 'Freeze a node, let it go on later, and prove that nothing was lost.'
  static override description =
    'SIGSTOP, as a machine that swaps or a garbage collector that stops the world; the node goes on when the time is over, also if this command is killed. Clients write meanwhile; in the end every acknowledged write must be there and the cluster as before, or the exit code is 3.'
  static override examples = [
    '<%= config.bin %> chaos pause leader --for 5s',
    '<%= config.bin %> chaos pause n2 --for 2s --every 10s --times 3',
  ]
  static override args = {
    node: Args.string({ required: true, ignoreStdin: true, description: 'its name or host:port; leader, follower or random' }),
  }
  static override flags = {
    ...faultFlags,
  }
  static override seeAlso = ['chaos kill', 'cluster pause', 'chaos run']

  async run() {
    const { args, flags } = await this.parse(ChaosPause)
    const timing = this.timing(flags)
    const connection = this.target(flags)
    const { conductFault } = await import('../../src/local/chaos.js')
    const { partOf } = await import('../../src/admin/chaos/plan.js')
    const draft = { kind: 'pause' as const, who: partOf(args.node) }
    return await this.conduct(flags, (settings) => conductFault(connection, { draft, timing }, settings))
  }
}
