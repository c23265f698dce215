import { quorumIndex } from './ballot.js'
import type { BallotBox } from './ballot-box.js'
import type { ConfigurationEntry } from './configuration.js'
import { Durations } from './durations.js'
import type { Clock } from './environment.js'
import type { PeerId } from './peer-id.js'
import type { LogIndex } from './types.js'

/**
 * Where the time of a write goes on its leader. `queue`: until its batch is made. From there, side by side, `append`: until it is durable
 * here, and `replicate`: until so many others hold it durably that it lacks nothing but this node. `commit`: from there too, until it is
 * committed. `apply`: from the commit until the state machine has it. `total`: queue, commit and apply.
 */
export type WriteStage = 'queue' | 'append' | 'replicate' | 'commit' | 'apply' | 'total'

/** In the order in which a write goes through them. */
export const WRITE_STAGES: readonly WriteStage[] = ['queue', 'append', 'replicate', 'commit', 'apply', 'total']

/** Upper ends of the classes in which durations are counted, in milliseconds; a last class is above them all. */
export const WRITE_LATENCY_BOUNDS_MS: readonly number[] = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000]

/** So many of the newest durations of a stage are kept for its percentiles. */
const NEWEST = 256

/** Batches that are done with are given back once this many have gathered at the front. */
const COMPACT_AT = 64

/** One stage, in milliseconds. */
export interface StageLatency {
  /** Batches measured since the node started. */
  readonly count: number
  readonly sumMs: number
  /** How many of them by `WRITE_LATENCY_BOUNDS_MS`: above the bound before, up to this one; the last above all. */
  readonly classes: readonly number[]
  /** Of the newest 256 batches of this leadership; both null before the first, and on a node that does not lead. */
  readonly p50Ms: number | null
  readonly p99Ms: number | null
}

/** Every stage; one that never happened (replication, where a leader is alone) is not there. */
export type WriteLatencyStatus = Readonly<Partial<Record<WriteStage, StageLatency>>>

/** A batch of tasks on its way. Its oldest task was queued at `queuedAt`. */
interface Sample {
  readonly last: LogIndex
  readonly queuedAt: number
  readonly proposedAt: number
  readonly configuration: ConfigurationEntry
  committedAt: number
}

/** Of a stage: counts for good, and the newest durations of this leadership. */
class StageDurations extends Durations {
  private readonly newest = new Float32Array(NEWEST)
  private recent = 0

  constructor() {
    super(WRITE_LATENCY_BOUNDS_MS)
  }

  override add(ms: number): void {
    super.add(ms)
    this.newest[this.recent++ % NEWEST] = ms
  }

  forgetRecent(): void {
    this.recent = 0
  }

  status(): StageLatency {
    const sorted = this.newest.slice(0, Math.min(this.recent, NEWEST)).sort()
    const share = (part: number) => (sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!)
    return { count: this.count, sumMs: this.sumMs, classes: [...this.classes], p50Ms: share(0.5), p99Ms: share(0.99) }
  }
}

/**
 * Times the stages of the writes of a leader, a batch at a time: it only watches, and decides nothing.
 *
 * ApplyQueue tells it what is proposed, NodeImpl the rest. Batches of tasks only, no configurations.
 *
 * Invariants
 * - Each batch counts once in every stage it went through, in log order; what a lost leadership left undecided counts in no more.
 * - The positions are counts of batches, from the first of this leadership: those below one have been through that stage.
 */
export class WriteLatency {
  private samples: Sample[] = []
  /** Batches that were taken off the front of `samples`. */
  private gone = 0
  private readonly through = { append: 0, replicate: 0, commit: 0, apply: 0 }
  private readonly stages: Record<WriteStage, StageDurations | null> = {
    queue: null,
    append: null,
    replicate: null,
    commit: null,
    apply: null,
    total: null,
  }
  private cached: WriteLatencyStatus | null = null
  /** What the members hold, with this one taken to hold everything. */
  private readonly held: { get(key: string): LogIndex | undefined }

  constructor(
    private readonly clock: Clock,
    self: PeerId,
    ballotBox: Pick<BallotBox, 'matchIndex'>,
  ) {
    const everything = Number.MAX_SAFE_INTEGER as LogIndex
    this.held = { get: (key) => (key === self.key ? everything : ballotBox.matchIndex(key)) }
  }

  /** A batch that ends at `last` goes to the log and to the followers now. */
  onProposed(last: LogIndex, queuedAt: number, configuration: ConfigurationEntry): void {
    const proposedAt = this.clock.now()
    const position = this.gone + this.samples.length
    this.samples.push({ last, queuedAt, proposedAt, configuration, committedAt: 0 })
    this.add('queue', proposedAt - queuedAt)
    // Where nobody else is needed nothing is replicated.
    if (this.through.replicate === position && this.isReplicated(this.samples.at(-1)!)) this.through.replicate++
  }

  /** Everything up to `index` is durable here. */
  onDurable(index: LogIndex): void {
    if (!this.waits('append', index)) return
    const now = this.clock.now()
    do this.add('append', now - this.next('append')!.proposedAt)
    while (this.pass('append', index))
  }

  /** A peer holds more than before. */
  onAcknowledged(): void {
    let next = this.next('replicate')
    if (!next || !this.isReplicated(next)) return
    const now = this.clock.now()
    for (; next && this.isReplicated(next); next = this.next('replicate')) {
      this.add('replicate', now - next.proposedAt)
      this.pass('replicate', next.last)
    }
  }

  onCommitted(index: LogIndex): void {
    if (!this.waits('commit', index)) return
    this.onAcknowledged()
    const now = this.clock.now()
    do {
      const sample = this.next('commit')!
      if (this.through.replicate === this.through.commit) {
        // By a later configuration: whom its own counts may be no member any more, and is not waited for.
        this.add('replicate', now - sample.proposedAt)
        this.through.replicate++
      }
      sample.committedAt = now
      this.add('commit', now - sample.proposedAt)
    } while (this.pass('commit', index))
  }

  onApplied(index: LogIndex): void {
    if (!this.waits('apply', index)) return
    const now = this.clock.now()
    do {
      const { committedAt, queuedAt } = this.next('apply')!
      this.add('apply', now - committedAt)
      this.add('total', now - queuedAt)
    } while (this.pass('apply', index))
  }

  /** What is under way is not this node's any more. */
  onStepDown(): void {
    this.samples = []
    this.gone = 0
    for (const stage of Object.keys(this.through) as (keyof typeof this.through)[]) this.through[stage] = 0
    for (const durations of Object.values(this.stages)) durations?.forgetRecent()
    this.cached = null
  }

  /** Null when this node never took a write as leader. */
  status(): WriteLatencyStatus | null {
    if (!this.stages.queue) return null
    this.cached ??= Object.fromEntries(WRITE_STAGES.flatMap((stage) => [...this.statusOf(stage)]))
    return this.cached
  }

  private *statusOf(stage: WriteStage): Iterable<[WriteStage, StageLatency]> {
    const durations = this.stages[stage]
    if (durations) yield [stage, durations.status()]
  }

  /** The oldest batch that has not been through `stage`. */
  private next(stage: keyof typeof this.through): Sample | undefined {
    return this.samples[this.through[stage] - this.gone]
  }

  private waits(stage: keyof typeof this.through, index: LogIndex): boolean {
    const sample = this.next(stage)
    return sample !== undefined && sample.last <= index
  }

  /** The oldest batch has been through `stage`; whether the next one has as well when everything up to `index` has. */
  private pass(stage: keyof typeof this.through, index: LogIndex): boolean {
    this.through[stage]++
    this.compact()
    return this.waits(stage, index)
  }

  private compact(): void {
    const { append, replicate, apply } = this.through
    const done = Math.min(append, replicate, apply) - this.gone
    if (done < this.samples.length && (done < COMPACT_AT || done * 2 < this.samples.length)) return
    this.samples.splice(0, done)
    this.gone += done
  }

  private isReplicated({ last, configuration }: Sample): boolean {
    return quorumIndex(configuration, this.held) >= last
  }

  private add(stage: WriteStage, ms: number): void {
    this.stages[stage] ??= new StageDurations()
    this.stages[stage].add(ms)
    this.cached = null
  }
}
