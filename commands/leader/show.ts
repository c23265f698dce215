import { ClusterCommand } from '../../src/terminal/cluster-command.js'

export default class LeaderShow extends ClusterCommand {
  static override summary = 'Who leads, since when, and proof of it.'
  static override description = 'The leader is asked for a round of heartbeats: what is printed led when it was asked.'
  static override schema = 'raftctl.leader.show/1'
  static override exitCodes = [4, 5, 7, 8]
  static override seeAlso = ['status', 'wait leader']
  static override examples = [
    '<%= config.bin %> leader show',
    { description: 'Only its address', command: '<%= config.bin %> leader show --field leader.address' },
  ]

  async run() {
    const { flags } = await this.parse(LeaderShow)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { showLeader } = await import('../../src/admin/leadership.js')
    using client = new ClusterClient(connection)
    const { view, clusterId } = await showLeader(client)
    return this.result(
      view,
      (out) => {
        const since = view.leaderForMs === null ? '' : ` for ${out.duration(view.leaderForMs)}`
        const proof = view.confirmed ? 'confirmed by a round of heartbeats' : 'named by a majority'
        const followers = view.followers.length > 0 ? `, followed by ${view.followers.join(' ')}` : ''
        const { id, address } = view.leader
        const where = id === address ? '' : `  ${address}`
        out.prose(`${id}${since}${where}  term ${view.term}, ${proof}${followers}`)
      },
      { clusterId },
    )
  }
}
