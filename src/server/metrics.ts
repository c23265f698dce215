import { setImmediate as turn } from 'node:timers/promises'
import type { Gauge, Histogram, Registry } from 'prom-client'
import type { RaftEvent } from '../raft/events.js'
import type { NodeStatus } from '../raft/node-status.js'
import { LatencyWindow } from './latency-window.js'
import { addWriteStages } from './write-metrics.js'

/** Samples kept until the metrics library is loaded, after the start. */
const EARLY_SAMPLES_MAX = 4096
/** So many groups are looked at in one turn of the event loop: with thousands of them a scrape would hold up their heartbeats. */
const GROUPS_A_TURN = 64
const SYNC_BUCKETS_S = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5]
const RPC_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5]

interface Instruments {
  readonly registry: Registry
  readonly sync: Histogram
  readonly calls: Histogram<'method' | 'code'>
}

/**
 * What /metrics shows: the state of every group, and counts and latencies since the start of the process.
 *
 * The library is loaded only when the node runs (it costs tens of milliseconds of a start); what was measured before is
 * kept and counted then.
 */
export class Metrics {
  private readonly syncTimes = new LatencyWindow()
  private readonly early: ((instruments: Instruments) => void)[] = []
  private readonly events = new Map<string, number>()
  private instruments: Promise<Instruments> | null = null
  private loaded: Instruments | null = null
  /** Of every group, as the newest scrape found it. */
  private seen: readonly NodeStatus[] = []

  /** `statuses` is asked once a scrape, and one status after the other. */
  constructor(private readonly statuses: () => Iterable<NodeStatus>) {}

  /** Slowest of a hundred of the newest durable writes; null before the first. */
  get syncP99Ms(): number | null {
    return this.syncTimes.percentile(0.99)
  }

  observeSync(ms: number): void {
    this.syncTimes.add(ms)
    this.record(({ sync }) => sync.observe(ms / 1000))
  }

  observeCall(path: string, code: number, tookMs: number): void {
    this.record(({ calls }) => calls.observe({ method: path.slice(1), code: String(code) }, tookMs / 1000))
  }

  observeEvent(event: RaftEvent): void {
    this.events.set(event.name, (this.events.get(event.name) ?? 0) + 1)
  }

  /** The exposition format of Prometheus. */
  async text(): Promise<string> {
    const { registry } = await this.load()
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

  /** Starts to measure for good; safe to call often. */
  load(): Promise<Instruments> {
    this.instruments ??= import('prom-client').then((prom) => {
      const registry = new prom.Registry()
      // The event loop is woken for each look at its lag: at the default, 100 times a second in a process that has nothing to do.
      prom.collectDefaultMetrics({ register: registry, prefix: 'raftctl_', eventLoopMonitoringPrecision: 50 })
      const instruments = {
        registry,
        sync: new prom.Histogram({
          name: 'raft_sync_seconds',
          help: 'Durable writes to the log and the meta files.',
          buckets: SYNC_BUCKETS_S,
          registers: [registry],
        }),
        calls: new prom.Histogram({
          name: 'raftctl_call_seconds',
          help: 'gRPC calls answered, by method and gRPC status.',
          labelNames: ['method', 'code'] as const,
          buckets: RPC_BUCKETS_S,
          registers: [registry],
        }),
      }
      this.addGauges(prom.Gauge, registry)
      addWriteStages(registry, () => this.seen)
      this.loaded = instruments
      for (const record of this.early.splice(0)) record(instruments)
      return instruments
    })
    return this.instruments
  }

  private record(sample: (instruments: Instruments) => void): void {
    if (this.loaded) sample(this.loaded)
    else if (this.early.length < EARLY_SAMPLES_MAX) this.early.push(sample)
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
