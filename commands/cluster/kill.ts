import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { durationFlagOf } from '../../src/terminal/flags.js'

export default class ClusterKill extends BaseCommand {
  static override summary = 'Kill a node of a local cluster, as a crash would.'
  static override schema = 'raftctl.cluster.kill/1'
  static override impact = 'data' as const
  static override exitCodes = [4, 7]
  static override examples = ['<%= config.bin %> cluster kill n1', '<%= config.bin %> cluster kill n2 --name two --signal TERM']
  static override args = { node: Args.string({ required: true, ignoreStdin: true, description: 'its name or host:port' }) }
  static override flags = {
    name: Flags.string({ helpValue: '<cluster>', description: 'which cluster (default: of the selected context)' }),
    signal: Flags.option({ options: ['KILL', 'TERM', 'INT', 'ABRT'] as const })({
      default: 'KILL',
      helpValue: '<signal>',
      description: 'KILL (default), TERM, INT or ABRT',
    }),
    timeout: durationFlagOf({ default: 5000, description: 'how long to wait for the next leader (default 5s)' }),
  }
  static override seeAlso = ['cluster start', 'cluster pause', 'status']

  async run() {
    const { args, flags } = await this.parse(ClusterKill)
    const { chosenCluster } = await import('../../src/local/cluster-view.js')
    const { disturbanceError, killNode, quorumWarning } = await import('../../src/local/disturbance.js')
    const { disturbanceReport, disturbanceText } = await import('../../src/local/reports.js')
    const done = await killNode(chosenCluster(flags.name), args.node, { signal: `SIG${flags.signal}`, timeoutMs: flags.timeout })
    const warning = quorumWarning(done)
    return this.result(disturbanceReport(done), (out) => out.line(disturbanceText('killed', done)), {
      error: disturbanceError(done),
      warnings: warning === null ? [] : [warning],
      clusterId: done.cluster.clusterId,
    })
  }
}
