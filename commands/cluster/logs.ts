import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { durationFlagOf } from '../../src/terminal/flags.js'

export default class ClusterLogs extends BaseCommand {
  static override summary = 'Show what the nodes of a local cluster wrote, merged in order of time.'
  static override schema = 'raftctl.cluster.logs/1'
  static override exitCodes = [7]
  static override examples = ['<%= config.bin %> cluster logs', '<%= config.bin %> cluster logs n1 -f', '<%= config.bin %> cluster logs --since 5m --grep election']
  static override args = { node: Args.string({ ignoreStdin: true, description: 'only this one' }) }
  static override flags = {
    name: Flags.string({ helpValue: '<cluster>', description: 'which cluster (default: the only one, else dev)' }),
    follow: Flags.boolean({ char: 'f', description: 'go on until interrupted; with --json one line is one document' }),
    since: durationFlagOf({ description: 'nothing older than this' }),
    level: Flags.option({ options: ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const })({ description: 'this level and worse' }),
    grep: Flags.string({ helpValue: '<regexp>', description: 'only lines that match' }),
  }
  static override seeAlso = ['cluster info']

  async run() {
    const { args, flags } = await this.parse(ClusterLogs)
    const { chosenCluster } = await import('../../src/local/cluster-control.js')
    const { readNode } = await import('../../src/local/state-file.js')
    const { followLogs, grepPattern, readLogs } = await import('../../src/local/node-logs.js')
    const { logText } = await import('../../src/local/reports.js')
    const cluster = chosenCluster(flags.name)
    const nodes = args.node === undefined ? cluster.nodes : [readNode(cluster, args.node)]
    const filter = { sinceMs: flags.since ?? null, level: flags.level ?? null, pattern: grepPattern(flags.grep) }
    const lines = await readLogs(nodes, filter)
    if (!flags.follow) return this.result({ lines }, (out) => lines.forEach((line) => out.line(logText(line))))
    return this.stream(lines, followLogs(nodes, filter, this.interrupted), (line, out) => out.line(logText(line)))
  }
}
