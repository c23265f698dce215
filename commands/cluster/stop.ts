import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { durationFlagOf } from '../../src/terminal/flags.js'
import type { Output } from '../../src/terminal/output.js'
import { shortPath } from '../../src/terminal/paths.js'

export default class ClusterStop extends BaseCommand {
  static override summary = 'Stop a local cluster; its data is kept.'
  static override schema = 'raftctl.cluster.stop/1'
  static override impact = 'data' as const
  static override exitCodes = [7, 11]
  static override examples = [
    '<%= config.bin %> cluster stop',
    '<%= config.bin %> cluster stop two',
    '<%= config.bin %> cluster stop --all',
  ]
  static override args = { name: Args.string({ ignoreStdin: true, description: 'which one (default: of the selected context)' }) }
  static override flags = {
    grace: durationFlagOf({ default: 10_000, description: 'time to stop by themselves before they are killed (default 10s)' }),
    all: Flags.boolean({ description: 'every local cluster' }),
  }
  static override seeAlso = ['cluster start', 'cluster rm']

  async run() {
    const { args, flags } = await this.parse(ClusterStop)
    const { chosenClusters } = await import('../../src/local/cluster-view.js')
    const { stopCluster, stopError } = await import('../../src/local/cluster-control.js')
    const { stopReport } = await import('../../src/local/reports.js')
    const stops = await Promise.all(chosenClusters(args.name, { all: flags.all }).map((cluster) => stopCluster(cluster.name, flags.grace)))
    const clusters = stops.map(stopReport)
    const render = (out: Output) => {
      for (const one of clusters) {
        if (one.nodes.every((node) => node.outcome === 'was-stopped') && !one.removed) {
          out.line(`${one.name} was stopped already (data in ${shortPath(one.dir)})`)
          continue
        }
        const killed = one.nodes.filter((node) => node.outcome === 'killed').map((node) => node.id)
        const kept = one.removed ? 'data removed' : `data kept in ${shortPath(one.dir)}`
        out.line(
          `stopped ${one.name} (${one.nodes.length} nodes, ${kept})${killed.length > 0 ? `  killed after the grace period: ${killed.join(' ')}` : ''}`,
        )
      }
      if (clusters.length === 0) out.note('no local clusters')
    }
    return this.result({ clusters }, render, { error: stopError(stops) })
  }
}
