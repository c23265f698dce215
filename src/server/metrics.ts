import { setImmediate as turn } from 'node:timers/promises'
import type { Gauge, Registry } from 'prom-client'
import { Durations } from '../raft/durations.js'
import type { RaftEvent } from '../raft/events.js'
import type { NodeStatus } from '../raft/node-status.js'
import { WRITE_LATENCY_BOUNDS_MS } from '../raft/write-latency.js'
import { CALL_BOUNDS_MS, CallTimes } from './call-times.js'
import { addHistogram } from './histogram.js'
import { LatencyWindow } from './latency-window.js'
import { writeStages } from './write-metrics.js'

/** So many groups are looked at in one turn of the event loop: with thousands of them a scrape would hold up their heartbeats. */
const GROUPS_A_TURN = 64
const SYNC_BOUNDS_MS: readonly number[] = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000, 5000]

/**
 * What /metrics shows: the state of every group, and counts and latencies since the start of the process.
 *
 * The library is loaded only when the node runs: it costs tens of milliseconds of a start. What is measured is counted here.
 */
export class Metrics {
  private readonly newestSyncs = new LatencyWindow()
  private readonly syncs = new Durations(SYNC_BOUNDS_MS)
  private readonly calls = new CallTimes()
  private readonly events = new Map<string, number>()
  private registry: Promise<Registry> | null = null
  /** Of every group, as the newest scrape found it. */
  private seen: readonly NodeStatus[] = []

  /** `statuses` is asked once a scrape, and one status after the other. */
  constructor(private readonly statuses: () => Iterable<NodeStatus>) {}

  /** Slowest of a hundred of the newest durable writes; null before the first. */
  get syncP99Ms(): number | null {
    return this.newestSyncs.percentile(0.99)
  }

  observeSync(ms: number): void {
    this.newestSyncs.add(ms)
    this.syncs.add(ms)
  }

  observeCall(path: string, code: number, tookMs: number): void {
    this.calls.add(path, code, tookMs)
  }

  observeEvent(event: RaftEvent): void {
    this.events.set(event.name, (this.events.get(event.name) ?? 0) + 1)
  }

  /** The exposition format of Prometheus. */
  async text(): Promise<string> {
    const registry = await this.load()
    const seen: NodeStatus[] = []
    for (const status of this.statuses()) if (seen.push(status) % GROUPS_A_TURN === 0) await turn()
    this.seen = seen
    const parts: string[] = []
    for (const { name } of registry.getMetricsAsArray()) {
      parts.push(await registry.getSingleMetricAsString(name))
      await turn()
    }
    return `${parts.join('\n\n')}\n`
  }

  /** Loads the library, and starts what it measures by itself; safe to call often. */
  load(): Promise<Registry> {
    this.registry ??= import('prom-client').then((prom) => {
      const registry = new prom.Registry()
      // The event loop is woken for each look at its lag: at the default, 100 times a second in a process that has nothing to do.
      prom.collectDefaultMetrics({ register: registry, prefix: 'raftctl_', eventLoopMonitoringPrecision: 50 })
      this.addHistograms(registry)
      this.addGauges(prom.Gauge, registry)
      return registry
    })
    return this.registry
  }

  private addHistograms(registry: Registry): void {
    addHistogram(registry, {
      name: 'raft_sync_seconds',
      help: 'Durable writes to the log and the meta files.',
      boundsMs: SYNC_BOUNDS_MS,
      series: () => [{ labels: {}, counted: this.syncs }],
    })
    addHistogram(registry, {
      name: 'raftctl_call_seconds',
      help: 'gRPC calls answered, by method and gRPC status.',
      boundsMs: CALL_BOUNDS_MS,
      series: () => this.calls.series(),
    })
    addHistogram(registry, {
      name: 'raft_write_stage_seconds',
      help: 'Where the time of writes goes on their leader, by stage: queue, then append and replicate side by side up to commit, apply; total.',
      boundsMs: WRITE_LATENCY_BOUNDS_MS,
      series: () => writeStages(this.seen),
    })
  }

  private addGauges(GaugeClass: typeof Gauge, registry: Registry): void {
    const { events } = this
    const seen = () => this.seen
    for (const [name, { help, value }] of Object.entries(GROUP_GAUGES)) {
      new GaugeClass({
        name,
        help,
        labelNames: ['group'],
        registers: [registry],
        collect() {
          this.reset()
          for (const status of seen()) this.set({ group: status.groupId }, value(status))
        },
      })
    }
    new GaugeClass({
      name: 'raft_events_total',
      help: 'State changes since the start, by name of the event.',
      labelNames: ['event'],
      registers: [registry],
      collect() {
        for (const [event, count] of events) this.set({ event }, count)
      },
    })
  }
}

const GROUP_GAUGES: Readonly<Record<string, { help: string; value: (status: NodeStatus) => number }>> = {
  raft_term: { help: 'Current term.', value: (status) => status.term },
  raft_is_leader: { help: '1 while this node leads.', value: (status) => Number(status.state === 'LEADER') },
  raft_has_leader: { help: '1 while a leader is known.', value: (status) => Number(!status.leaderId.isEmpty) },
  raft_commit_index: { help: 'Newest committed index known here.', value: (status) => status.committedIndex },
  raft_applied_index: { help: 'Newest index applied here.', value: (status) => status.appliedIndex },
  raft_durable_index: { help: 'Newest index durable here.', value: (status) => status.durableIndex },
  raft_first_index: { help: 'First index of the log.', value: (status) => status.firstIndex },
  raft_last_index: { help: 'Last index of the log.', value: (status) => status.lastId.index },
  raft_pending_tasks: { help: 'Proposed and not applied.', value: (status) => status.pendingTasks },
  raft_disk_stalled: {
    help: '1 while a write has not been done for an election timeout.',
    value: (status) => Number(status.diskStalledForMs !== null),
  },
  raft_voters: { help: 'Voters of the configuration.', value: (status) => status.configuration.voters.length },
}
