import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { durationFlagOf, wholeNumberFlag } from '../../src/terminal/flags.js'
import type { Output } from '../../src/terminal/output.js'
import { shortPath } from '../../src/terminal/paths.js'
import type { Result } from '../../src/terminal/result.js'

export default class ClusterStart extends BaseCommand {
  static override summary = 'Start a local cluster, or what is down of one.'
  static override description =
    'Runs real nodes on this machine in the background and selects a context for them. Data is kept when they stop.'
  static override schema = 'raftctl.cluster.start/1'
  static override impact = 'data' as const
  static override exitCodes = [4, 6, 8, 10, 130]
  static override examples = [
    '<%= config.bin %> cluster start',
    { description: 'A second cluster beside the first', command: '<%= config.bin %> cluster start --name two --nodes 5' },
    { description: 'Nodes that chaos cannot break', command: '<%= config.bin %> cluster start --name calm --no-enable-faults' },
  ]
  static override outputColumns = {
    NODE: 'its name',
    ADDRESS: 'where it listens, for everything',
    STATE: 'started, running (it was up already) or failed',
    PID: 'its process',
    METRICS: 'for Prometheus',
    LOG: 'where it writes what it does',
  }
  static override seeAlso = ['cluster stop', 'cluster ls', 'status']
  static override flags = {
    name: Flags.string({ default: 'dev', helpValue: '<name>', description: 'of the cluster, and of its context' }),
    nodes: wholeNumberFlag({ min: 1, description: 'how many (default 3)' }),
    'base-port': wholeNumberFlag({ min: 1, description: 'port of the first node (default: the next free block from 7001)' }),
    dir: Flags.string({ helpValue: '<dir>', description: 'where the data goes' }),
    group: Flags.string({ char: 'g', helpValue: '<name>', description: 'name of the Raft group (default kv, or as in braft)' }),
    machine: Flags.option({ options: ['kv', 'counter', 'atomic', 'block'] as const })({
      description: 'what the group runs: the key-value store (default) or an example of braft',
    }),
    'election-timeout': durationFlagOf({ description: 'of a new cluster (default 1s)' }),
    transport: Flags.string({
      options: ['grpc', 'baidu_std'],
      helpValue: '<protocol>',
      description: 'what the nodes of a new cluster speak to each other (default grpc)',
    }),
    'enable-faults': Flags.boolean({ allowNo: true, description: 'let chaos break the nodes (default of a new cluster)' }),
    ephemeral: Flags.boolean({ description: 'remove the data when the cluster stops' }),
    foreground: Flags.boolean({ description: 'stay until interrupted, then stop the nodes' }),
    context: Flags.boolean({ default: true, allowNo: true, description: 'make and select a context of the same name' }),
    'dry-run': Flags.boolean({ description: 'say what would be started' }),
    timeout: durationFlagOf({ default: 15_000, description: 'how long to wait for a leader (default 15s)' }),
  }

  /** The cluster to stop, and the signal that asks for it; null unless it stays in the foreground. */
  private foreground: { readonly cluster: string; readonly ended: Promise<NodeJS.Signals> } | null = null

  async run(): Promise<Result> {
    const { flags } = await this.parse(ClusterStart)
    const { planStart, startCluster } = await import('../../src/local/cluster-start.js')
    const { planReport, planText, portRange, startReport } = await import('../../src/local/reports.js')
    const options = {
      name: flags.name,
      nodes: flags.nodes ?? null,
      basePort: flags['base-port'] ?? null,
      dir: flags.dir ?? null,
      group: flags.group ?? null,
      machine: flags.machine ?? null,
      electionTimeoutMs: flags['election-timeout'] ?? null,
      transport: (flags.transport ?? null) as 'grpc' | 'baidu_std' | null,
      enableFaults: flags['enable-faults'] ?? null,
      ephemeral: flags.ephemeral === true,
      context: flags.context,
      timeoutMs: flags.timeout,
      onInterrupt: (cleanup: () => void) => this.onInterrupt(cleanup),
    }
    if (flags['dry-run']) {
      const plan = planReport(await planStart(options))
      const what = planText(plan)
      return this.result(plan, (out) =>
        out.line(`${what}: ${plan.nodes.length} nodes on ports ${portRange(plan.nodes)}, data in ${shortPath(plan.dir)}`),
      )
    }
    const done = await startCluster(options)
    if (flags.foreground && !done.error) this.foreground = { cluster: done.cluster.name, ended: endRequested() }
    const report = startReport(done)
    const { leaderText, startHeadline, tryText } = await import('../../src/local/reports.js')
    const render = (out: Output) => {
      out.prose(
        `${out.symbol(done.error ? 'warning' : 'ok')} ${startHeadline(report)} · ports ${portRange(report.nodes)} · data ${shortPath(report.dir)}`,
      )
      out.line(`${out.symbol(report.leader === null ? 'failed' : 'ok')} ${leaderText(report)}`)
      out.table(
        [
          { name: 'node', value: (row) => row.id },
          { name: 'address', value: (row) => row.address },
          { name: 'state', value: (row) => `${out.symbol(row.error ? 'failed' : 'ok')} ${row.outcome}` },
          { name: 'pid', value: (row) => (row.pid === null ? '-' : String(row.pid)), align: 'right' },
          { name: 'metrics', value: (row) => row.metrics, priority: 2 },
          { name: 'log', value: (row) => shortPath(row.log), priority: 1 },
        ],
        report.nodes,
      )
      const data = done.cluster.ephemeral ? 'Data is removed on stop.' : 'Data is kept on stop.'
      if (report.context !== null)
        out.note(`context ${report.context} selected${done.previousContext ? ` (was: ${done.previousContext})` : ''}. ${data}`)
      if (this.foreground !== null) out.note('Running in the foreground: Ctrl-C stops the nodes.')
      else if (!done.error) out.note(tryText(report, done.cluster.machine ?? 'kv'))
    }
    return this.result(report, render, { error: done.error, clusterId: done.cluster.clusterId, warnings: done.warnings })
  }

  /** After the answer is printed: stays until a signal, then stops the nodes. */
  protected override async finally(error: Error | undefined): Promise<void> {
    if (this.foreground !== null) {
      const { stopCluster } = await import('../../src/local/cluster-control.js')
      const { cluster, ended } = this.foreground
      const signal = await ended
      await stopCluster(cluster, 10_000)
      this.out.note(`${signal}: stopped ${cluster}`)
    }
    await super.finally(error)
  }
}

/** From here on a signal is how the command ends well. */
function endRequested(): Promise<NodeJS.Signals> {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.removeAllListeners(signal)
  // Nothing else keeps this process alive.
  const alive = setInterval(() => {}, 1 << 30)
  return new Promise((resolve) => {
    for (const signal of signals)
      process.once(signal, () => {
        clearInterval(alive)
        resolve(signal)
      })
  })
}
