import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'

export default class ClusterResume extends BaseCommand {
  static override summary = 'Let a paused node of a local cluster go on.'
  static override schema = 'raftctl.cluster.resume/1'
  static override impact = 'data' as const
  static override exitCodes = [7]
  static override examples = ['<%= config.bin %> cluster resume n1']
  static override args = { node: Args.string({ required: true, ignoreStdin: true, description: 'its name or host:port' }) }
  static override flags = {
    name: Flags.string({ helpValue: '<cluster>', description: 'which cluster (default: of the selected context)' }),
  }
  static override seeAlso = ['cluster pause']

  async run() {
    const { args, flags } = await this.parse(ClusterResume)
    const { chosenCluster } = await import('../../src/local/cluster-view.js')
    const { resumeNode } = await import('../../src/local/disturbance.js')
    const cluster = chosenCluster(flags.name)
    const { node, wasPaused } = await resumeNode(cluster, args.node)
    return this.result(
      { node: node.name, wasPaused },
      (out) => out.line(wasPaused ? `resumed ${node.name}` : `${node.name} was not paused`),
      {
        clusterId: cluster.clusterId,
      },
    )
  }
}
