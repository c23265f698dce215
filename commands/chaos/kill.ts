import { Args } from '@oclif/core'
import { ChaosCommand, faultFlags } from '../../src/terminal/chaos-command.js'

export default class ChaosKill extends ChaosCommand {
  static override summary = 'Kill a node, start it again later, and prove that nothing was lost.'
  static override description =
    'SIGKILL, as a crash would; the node is started again when the time is over, also if this command is killed. Clients write meanwhile; in the end every acknowledged write must be there and the cluster as before, or the exit code is 3.'
  static override examples = [
    '<%= config.bin %> chaos kill leader --for 10s',
    { description: 'Again and again, until Ctrl-C', command: '<%= config.bin %> chaos kill random --for 5s --every 20s' },
  ]
  static override args = {
    node: Args.string({ required: true, ignoreStdin: true, description: 'its name or host:port; leader, follower or random' }),
  }
  static override flags = {
    ...faultFlags,
  }
  static override seeAlso = ['chaos pause', 'cluster kill', 'chaos run']

  async run() {
    const { args, flags } = await this.parse(ChaosKill)
    const timing = this.timing(flags)
    const connection = this.target(flags)
    const { conductFault } = await import('../../src/local/chaos.js')
    const { partOf } = await import('../../src/admin/chaos/plan.js')
    const draft = { kind: 'kill' as const, who: partOf(args.node) }
    return await this.conduct(flags, (settings) => conductFault(connection, { draft, timing }, settings))
  }
}
