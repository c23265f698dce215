import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { durationFlagOf } from '../../src/terminal/flags.js'

export default class ClusterPause extends BaseCommand {
  static override summary = 'Freeze a node of a local cluster (SIGSTOP); resume lets it go on.'
  static override schema = 'raftctl.cluster.pause/1'
  static override impact = 'data' as const
  static override exitCodes = [4, 7]
  static override examples = ['<%= config.bin %> cluster pause n1', '<%= config.bin %> cluster resume n1']
  static override args = { node: Args.string({ required: true, ignoreStdin: true, description: 'its name or host:port' }) }
  static override flags = {
    name: Flags.string({ helpValue: '<cluster>', description: 'which cluster (default: of the selected context)' }),
    timeout: durationFlagOf({ default: 5000, description: 'how long to wait for the next leader (default 5s)' }),
  }
  static override seeAlso = ['cluster resume', 'cluster kill']

  async run() {
    const { args, flags } = await this.parse(ClusterPause)
    const { chosenCluster } = await import('../../src/local/cluster-view.js')
    const { disturbanceError, pauseNode, quorumWarning } = await import('../../src/local/disturbance.js')
    const { disturbanceReport, disturbanceText } = await import('../../src/local/reports.js')
    const done = await pauseNode(chosenCluster(flags.name), args.node, flags.timeout)
    const warning = quorumWarning(done)
    return this.result(disturbanceReport(done), (out) => out.line(disturbanceText('paused', done)), {
      error: disturbanceError(done),
      warnings: warning === null ? [] : [warning],
      clusterId: done.cluster.clusterId,
    })
  }
}
