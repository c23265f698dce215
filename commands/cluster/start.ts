import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { durationFlagOf, wholeNumberFlag } from '../../src/terminal/flags.js'
import { shortPath } from '../../src/terminal/paths.js'

export default class ClusterStart extends BaseCommand {
  static override summary = 'Start a local cluster, or what is down of one.'
  static override description = 'Runs real nodes on this machine in the background and selects a context for them. Data is kept when they stop.'
  static override schema = 'raftctl.cluster.start/1'
  static override impact = 'data' as const
  static override exitCodes = [4, 6, 8]
  static override examples = [
    '<%= config.bin %> cluster start',
    { description: 'A second cluster beside the first', command: '<%= config.bin %> cluster start --name two --nodes 5' },
    { description: 'Nodes that may be broken on purpose', command: '<%= config.bin %> cluster start --name lab --enable-faults' },
  ]
  static override outputColumns = { NODE: 'its name', ADDRESS: 'where it listens, for everything', PID: 'its process', LOG: 'where it writes what it does' }
  static override seeAlso = ['cluster stop', 'cluster ls', 'status']
  static override flags = {
    name: Flags.string({ default: 'dev', helpValue: '<name>', description: 'of the cluster, and of its context' }),
    nodes: wholeNumberFlag({ min: 1, description: 'how many (default 3)' }),
    'base-port': wholeNumberFlag({ min: 1, description: 'port of the first node (default: the next free block from 7001)' }),
    dir: Flags.string({ helpValue: '<dir>', description: 'where the data goes' }),
    group: Flags.string({ default: 'kv', helpValue: '<name>', description: 'name of the Raft group' }),
    'election-timeout': durationFlagOf({ description: 'of a new cluster (default 1s)' }),
    'enable-faults': Flags.boolean({ description: 'let tests and chaos break the nodes' }),
    ephemeral: Flags.boolean({ description: 'remove the data when the cluster stops' }),
    foreground: Flags.boolean({ description: 'stay until interrupted, then stop the nodes' }),
    context: Flags.boolean({ default: true, allowNo: true, description: 'make and select a context of the same name' }),
    'dry-run': Flags.boolean({ description: 'say what would be started' }),
    timeout: durationFlagOf({ default: 15_000, description: 'how long to wait for a leader (default 15s)' }),
  }

  async run() {
    const { flags } = await this.parse(ClusterStart)
    const { planStart, startCluster } = await import('../../src/local/cluster-start.js')
    const { startReport, planReport } = await import('../../src/local/reports.js')
    const options = {
      name: flags.name,
      nodes: flags.nodes ?? null,
      basePort: flags['base-port'] ?? null,
      dir: flags.dir ?? null,
      group: flags.group,
      electionTimeoutMs: flags['election-timeout'] ?? null,
      enableFaults: flags['enable-faults'],
      ephemeral: flags.ephemeral,
      context: flags.context,
      timeoutMs: flags.timeout,
    }
    if (flags['dry-run']) {
      const plan = await planStart(options)
      return this.result(planReport(plan), (out) => out.line(plan.created ? `would create ${plan.cluster.name}: ${plan.cluster.nodes.length} nodes from port ${plan.cluster.nodes[0]!.port}` : `would start what is down of ${plan.cluster.name}`))
    }
    const done = await startCluster(options)
    for (const warning of done.warnings) this.warn(warning)
    const report = startReport(done)
    const result = this.result(
      report,
      (out) => {
        const verb = done.created ? 'created' : report.nodes.every((node) => node.outcome === 'running') ? 'runs already' : 'started'
        const elected = report.electedAfterMs === null ? '' : `  after ${report.electedAfterMs} ms`
        out.line(`${out.symbol(done.error ? 'failed' : 'ok')} ${report.name} ${verb}: ${report.nodes.length} nodes  ${report.leader ? `leader ${report.leader} (term ${report.term})${elected}` : 'no leader'}`)
        out.table(
          [
            { name: 'node', value: (row) => row.id },
            { name: 'address', value: (row) => row.address },
            { name: 'state', value: (row) => row.outcome },
            { name: 'pid', value: (row) => (row.pid === null ? '-' : String(row.pid)), align: 'right' },
            { name: 'log', value: (row) => shortPath(row.log), priority: 1 },
          ],
          report.nodes,
        )
        if (report.context !== null) out.note(`context ${report.context} selected${done.previousContext ? ` (was: ${done.previousContext})` : ''}`)
        if (!done.error) out.note('try:  raftctl status  ·  raftctl kv put hello world  ·  raftctl cluster kill n1  ·  raftctl cluster stop')
      },
      { error: done.error, clusterId: done.cluster.clusterId },
    )
    if (!flags.foreground || done.error) return result
    return this.stayForeground(result, done.cluster.name)
  }

  private async stayForeground(result: Awaited<ReturnType<ClusterStart['run']>>, name: string): Promise<typeof result> {
    const { stopCluster } = await import('../../src/local/cluster-control.js')
    result.render?.(this.out)
    this.out.note('running in the foreground; Ctrl-C stops the nodes')
    await new Promise<void>((resolve) => {
      process.once('SIGINT', resolve)
      process.once('SIGTERM', resolve)
    })
    await stopCluster(name, 10_000)
    this.out.note(`stopped ${name}`)
    return this.result(result.data, null, result.options)
  }

  protected override get endsOnSignal(): boolean {
    return !this.argv.includes('--foreground')
  }
}
