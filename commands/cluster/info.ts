import { Args } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { duration } from '../../src/terminal/format.js'
import { shortPath } from '../../src/terminal/paths.js'

export default class ClusterInfo extends BaseCommand {
  static override summary = 'Show the processes, ports and files of a local cluster.'
  static override schema = 'raftctl.cluster.info/1'
  static override exitCodes = [7]
  static override examples = ['<%= config.bin %> cluster info', '<%= config.bin %> cluster info two --json']
  static override args = { name: Args.string({ ignoreStdin: true, description: 'which one (default: of the selected context)' }) }
  static override outputColumns = {
    STATE: 'running, paused, stopped, or stale: its process ended by itself',
    UPTIME: 'of its process',
    METRICS: 'for Prometheus',
    DATA: 'its log and everything else it must not lose',
    LOG: 'where it writes what it does',
  }
  static override seeAlso = ['status', 'cluster logs']

  async run() {
    const { args } = await this.parse(ClusterInfo)
    const { chosenCluster, describeCluster } = await import('../../src/local/cluster-view.js')
    const { clusterReport } = await import('../../src/local/reports.js')
    const info = clusterReport(await describeCluster(chosenCluster(args.name)))
    return this.result(
      info,
      (out) => {
        const leader = info.leader ? `leader ${info.leader} (term ${info.term})` : 'no leader'
        out.line(`${info.name}  ${info.state.toUpperCase()}  ${leader} · group ${info.group}`)
        out.line(`cluster ${info.clusterId}`)
        out.line(`data ${shortPath(info.dir)}`)
        out.table(
          [
            { name: 'node', value: (row) => row.id },
            { name: 'address', value: (row) => row.address },
            { name: 'state', value: (row) => row.state },
            { name: 'pid', value: (row) => (row.pid === null ? '-' : String(row.pid)), align: 'right' },
            { name: 'uptime', value: (row) => duration(row.uptimeMs), align: 'right' },
            { name: 'metrics', value: (row) => row.metrics, priority: 3 },
            { name: 'data', value: (row) => shortPath(row.data), priority: 2 },
            { name: 'log', value: (row) => shortPath(row.log), priority: 1 },
          ],
          info.nodes,
        )
      },
      { clusterId: info.clusterId },
    )
  }
}
