import { Args } from '@oclif/core'
import { ChaosCommand, faultFlags } from '../../src/terminal/chaos-command.js'
import { bytesFlag } from '../../src/terminal/flags.js'

/** Half the reserve that a node keeps. */
const FREE_BYTES = 16_000_000

export default class ChaosDiskFull extends ChaosCommand {
  static override summary = 'Let the disk of a node be full, and prove that nothing was lost.'
  static override description =
    'The node finds only so much space, and writes use it up. Below its reserve of 32 MB it raises NOSPACE and takes no entries, and as leader it hands over where a quorum of the others can take them; with nothing at all a write fails and the node takes no part any more, as on a real disk: it is started anew when it heals. Clients write meanwhile; in the end every acknowledged write must be there and the cluster as before, or the exit code is 3.'
  static override examples = [
    '<%= config.bin %> chaos disk-full n2',
    { description: 'Not one byte: the node stops', command: '<%= config.bin %> chaos disk-full leader --free 0 --for 10s' },
  ]
  static override args = {
    node: Args.string({ required: true, ignoreStdin: true, description: 'its name or host:port; leader, follower or random' }),
  }
  static override flags = {
    free: bytesFlag({ description: 'what is left (default 16MB)' }),
    ...faultFlags,
  }
  static override seeAlso = ['chaos slow-disk', 'explain E_NO_SPACE']

  async run() {
    const { args, flags } = await this.parse(ChaosDiskFull)
    const timing = this.timing(flags)
    const connection = this.target(flags)
    const { conductFault } = await import('../../src/local/chaos.js')
    const { partOf } = await import('../../src/admin/chaos/plan.js')
    const draft = { kind: 'disk-full' as const, who: partOf(args.node), freeBytes: flags.free ?? FREE_BYTES }
    return await this.conduct(flags, (settings) => conductFault(connection, { draft, timing }, settings))
  }
}
