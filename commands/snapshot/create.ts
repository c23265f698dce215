import { Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'

export default class SnapshotCreate extends ClusterCommand {
  static override summary = 'Have a member take a snapshot now.'
  static override description =
    'Writes what a member has applied into its snapshot directory and cuts its log; it goes on serving meanwhile. Without --node or --all a healthy follower takes it. When nothing was applied since the last one, that one is answered.'
  static override schema = 'raftctl.snapshot.create/1'
  static override impact = 'data' as const
  static override exitCodes = [4, 5, 6, 7, 8, 11, 13]
  static override seeAlso = ['snapshot save', 'snapshot list']
  static override examples = [
    '<%= config.bin %> snapshot create',
    '<%= config.bin %> snapshot create --node n1',
    { description: 'Every member, each by itself', command: '<%= config.bin %> snapshot create --all' },
  ]
  static override flags = {
    node: Flags.string({ helpValue: '<member>', exclusive: ['all'], description: 'this member: name, address or PeerId' }),
    all: Flags.boolean({ description: 'every member' }),
  }

  async run() {
    const { flags } = await this.parse(SnapshotCreate)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { takeSnapshots } = await import('../../src/admin/snapshots.js')
    const { printTaken } = await import('../../src/terminal/snapshot-view.js')
    using client = new ClusterClient(connection)
    const whom = flags.node !== undefined ? { member: flags.node } : flags.all ? ('all' as const) : ('auto' as const)
    const { data, clusterId, error } = await takeSnapshots(client, whom)
    return this.result(data, (out) => printTaken(out, data.nodes), { clusterId, error })
  }
}
