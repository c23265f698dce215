import { Args, Flags } from '@oclif/core'
import type { LogLine } from '../../src/local/node-logs.js'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { durationFlagOf } from '../../src/terminal/flags.js'
import type { Output } from '../../src/terminal/output.js'

/** One for each node; red is for what is wrong. */
const HUES = ['cyan', 'green', 'yellow', 'bold', 'dim'] as const

export default class ClusterLogs extends BaseCommand {
  static override summary = 'Show what the nodes of a local cluster wrote, merged in order of time.'
  static override schema = 'raftctl.cluster.logs/1'
  static override exitCodes = [7, 130]
  static override examples = [
    '<%= config.bin %> cluster logs',
    '<%= config.bin %> cluster logs n1 -f',
    '<%= config.bin %> cluster logs --since 5m --grep election',
  ]
  static override args = { node: Args.string({ ignoreStdin: true, description: 'only this one' }) }
  static override flags = {
    name: Flags.string({ helpValue: '<cluster>', description: 'which cluster (default: of the selected context)' }),
    follow: Flags.boolean({ char: 'f', description: 'go on until interrupted; with --json one line is one document' }),
    since: durationFlagOf({ description: 'nothing older than this' }),
    level: Flags.option({ options: ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const })({
      helpValue: '<level>',
      description: 'this level and worse: trace, debug, info, warn, error, fatal',
    }),
    grep: Flags.string({ helpValue: '<regexp>', description: 'only lines that match' }),
  }
  static override seeAlso = ['cluster info']

  async run() {
    const { args, flags } = await this.parse(ClusterLogs)
    const { chosenCluster } = await import('../../src/local/cluster-view.js')
    const { readNode } = await import('../../src/local/state-file.js')
    const { grepPattern, NodeLogs } = await import('../../src/local/node-logs.js')
    const { logText } = await import('../../src/local/reports.js')
    const cluster = chosenCluster(flags.name)
    const nodes = args.node === undefined ? cluster.nodes : [readNode(cluster, args.node)]
    const filter = { sinceMs: flags.since ?? null, level: flags.level ?? null, pattern: grepPattern(flags.grep) }
    const logs = new NodeLogs(nodes, filter)
    const print = (line: LogLine, out: Output) => {
      const hue = HUES[cluster.nodes.findIndex((node) => node.name === line.node) % HUES.length]!
      const severe = ['error', 'fatal'].includes(line.level)
      out.line(logText(line, { node: (name) => out.paint(hue, name), level: (level) => (severe ? out.paint('red', level) : level) }))
    }
    if (flags.follow) return this.stream([], logs.follow(this.interrupted), print)
    const lines = logs.read()
    return this.result({ lines }, (out) => lines.forEach((line) => print(line, out)), { clusterId: cluster.clusterId })
  }
}
