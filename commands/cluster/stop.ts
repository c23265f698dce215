import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { durationFlagOf } from '../../src/terminal/flags.js'

export default class ClusterStop extends BaseCommand {
  static override summary = 'Stop a local cluster; its data is kept.'
  static override schema = 'raftctl.cluster.stop/1'
  static override impact = 'data' as const
  static override exitCodes = [7]
  static override examples = ['<%= config.bin %> cluster stop', '<%= config.bin %> cluster stop two', '<%= config.bin %> cluster stop --all']
  static override args = { name: Args.string({ ignoreStdin: true, description: 'which one (default: the only one, else dev)' }) }
  static override flags = {
    grace: durationFlagOf({ default: 10_000, description: 'time to stop by themselves before they are killed (default 10s)' }),
    all: Flags.boolean({ description: 'every local cluster' }),
  }
  static override seeAlso = ['cluster start', 'cluster rm']

  async run() {
    const { args, flags } = await this.parse(ClusterStop)
    const { chosenClusters, stopCluster } = await import('../../src/local/cluster-control.js')
    const { stopReport } = await import('../../src/local/reports.js')
    const stops = await Promise.all(chosenClusters(args.name, { all: flags.all }).map((cluster) => stopCluster(cluster.name, flags.grace)))
    const clusters = stops.map(stopReport)
    return this.result({ clusters }, (out) => {
      for (const one of clusters) {
        const killed = one.nodes.filter((node) => node.outcome === 'killed').map((node) => node.id)
        const kept = one.removed ? 'data removed' : `data kept in ${one.dir}`
        out.line(`stopped ${one.name} (${one.nodes.length} nodes, ${kept})${killed.length > 0 ? `  killed after the grace period: ${killed.join(' ')}` : ''}`)
      }
      if (clusters.length === 0) out.note('no local clusters')
    })
  }
}
