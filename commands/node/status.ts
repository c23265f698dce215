import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { watchFlags } from '../../src/terminal/flags.js'
import { PEER_COLUMNS } from '../../src/terminal/node-view.js'

export default class NodeStatus extends ClusterCommand {
  static override summary = 'Everything one node says of itself.'
  static override description =
    'Role, term and vote, its log, snapshot, timers, disk and settings; on the leader also how it sees each peer. Without a node the first endpoint that answers is asked.'
  static override schema = 'raftctl.node.status/1'
  static override exitCodes = [3, 5, 7, 8]
  static override seeAlso = ['status', 'member list', 'data inspect']
  static override outputColumns = PEER_COLUMNS
  static override examples = [
    '<%= config.bin %> node status n2',
    { description: 'The node at an address, and no other', command: '<%= config.bin %> node status -e 10.0.0.1:7001 --direct' },
  ]
  static override args = { node: Args.string({ ignoreStdin: true, description: 'name, address or PeerId' }) }
  static override flags = {
    ...watchFlags,
    'exit-code': Flags.boolean({ description: 'exit 3 unless it is ok' }),
  }

  async run() {
    const { args, flags } = await this.parse(NodeStatus)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { nodeDetail } = await import('../../src/admin/node-detail.js')
    const { printNode } = await import('../../src/terminal/node-view.js')
    using client = new ClusterClient(connection)
    const once = async () => {
      const { node, clusterId, healthy } = await nodeDetail(client, args.node ?? null)
      return this.result(node, (out) => printNode(out, node), { clusterId, exitCode: flags['exit-code'] && !healthy ? 3 : 0 })
    }
    return await (flags.watch === undefined ? once() : this.watch(flags.watch, once))
  }
}
