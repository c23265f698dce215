import { Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'

export default class LogStats extends ClusterCommand {
  static override summary = 'Show how long the log is, what fills it, and how fast it grows.'
  static override description = "Reads one member's whole log, a piece at a time. The rate is measured while it does."
  static override schema = 'raftctl.log.stats/1'
  static override exitCodes = [5, 7, 8]
  static override seeAlso = ['log show', 'status']
  static override outputColumns = {
    TYPE: 'data are commands of the state machine; configuration and no_op are of Raft itself',
    ENTRIES: 'how many',
    BYTES: 'on disk, headers included',
    INDEX: 'of the ten largest',
  }
  static override examples = ['<%= config.bin %> log stats', '<%= config.bin %> log stats --node n3 --json --field behindSnapshot']
  static override flags = {
    node: Flags.string({ helpValue: '<member>', description: 'whose log (default: the leader, else who knows most)' }),
  }

  async run() {
    const { flags } = await this.parse(LogStats)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { logStatistics } = await import('../../src/admin/log.js')
    const { printStatistics } = await import('../../src/terminal/log-view.js')
    using client = new ClusterClient(connection)
    const { data, clusterId } = await logStatistics(client, flags.node ?? null)
    return this.result(data, (out) => printStatistics(out, data), { clusterId })
  }
}
