import { Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { SNAPSHOT_COLUMNS } from '../../src/terminal/snapshot-view.js'

export default class SnapshotList extends ClusterCommand {
  static override summary = 'List the snapshots that the members have.'
  static override description = 'Every member is asked; no leader is needed. A member keeps its newest snapshot only.'
  static override schema = 'raftctl.snapshot.list/1'
  static override exitCodes = [4, 5, 7, 8, 11]
  static override hiddenAliases = ['snapshot:ls']
  static override seeAlso = ['snapshot create', 'snapshot save']
  static override outputColumns = SNAPSHOT_COLUMNS
  static override examples = ['<%= config.bin %> snapshot list', '<%= config.bin %> snapshot list --node n2 --wide']
  static override flags = {
    node: Flags.string({ helpValue: '<member>', description: 'this member only: name, address or PeerId' }),
  }

  async run() {
    const { flags } = await this.parse(SnapshotList)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { listSnapshots } = await import('../../src/admin/snapshots.js')
    const { printSnapshots } = await import('../../src/terminal/snapshot-view.js')
    using client = new ClusterClient(connection)
    const { data, clusterId, error } = await listSnapshots(client, flags.node ?? null)
    return this.result(data, (out) => printSnapshots(out, data.nodes), { clusterId, error })
  }
}
