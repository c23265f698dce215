import { BaseCommand } from '../../src/terminal/base-command.js'
import { duration } from '../../src/terminal/format.js'
import type { Output } from '../../src/terminal/output.js'
import { shortPath } from '../../src/terminal/paths.js'

export default class ClusterLs extends BaseCommand {
  static override summary = 'List the clusters of this machine.'
  static override schema = 'raftctl.cluster.ls/1'
  static override examples = ['<%= config.bin %> cluster ls', '<%= config.bin %> cluster ls --json']
  static override outputColumns = {
    STATE: 'running, partial (some nodes down) or stopped',
    LEADER: 'who answers as leader at once',
    UPTIME: 'of the node that runs longest',
  }
  static override seeAlso = ['cluster info', 'cluster start']

  async run() {
    await this.parse(ClusterLs)
    const { listClusters } = await import('../../src/local/cluster-view.js')
    const { clusterReport, portRange } = await import('../../src/local/reports.js')
    const { rows, problems } = await listClusters()
    const clusters = rows.map(clusterReport)
    const render = (out: Output) => {
      if (clusters.length === 0 && problems.length === 0) return out.note('no local clusters: raftctl cluster start makes one')
      out.table(
        [
          { name: 'name', value: (row) => row.name },
          { name: 'nodes', value: (row) => String(row.nodes.length), align: 'right' },
          { name: 'state', value: (row) => row.state },
          { name: 'ports', value: (row) => portRange(row.nodes) },
          { name: 'leader', value: (row) => row.leader ?? '-' },
          { name: 'uptime', value: (row) => duration(row.uptimeMs), align: 'right', priority: 1 },
          { name: 'dir', value: (row) => shortPath(row.dir), priority: 2 },
        ],
        clusters,
      )
    }
    return this.result({ clusters }, render, { warnings: problems.map((problem) => problem.message) })
  }
}
