import { emptyRequest, entriesRequest } from './append-request.js'
import type { AppendStream, Timer } from './environment.js'
import { assert, ErrorCode, Status } from './errors.js'
import { HeldLog } from './held-log.js'
import { type Beat, BeatsInFlight, InFlight } from './in-flight.js'
import type { EntryBatch } from './log-entry.js'
import type { AppendEntriesRequest, AppendEntriesResponse } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerStatus } from './node-status.js'
import { PeerHealth } from './peer-health.js'
import type { PeerId } from './peer-id.js'
import { DEFAULT_PRIORITY } from './precedence.js'
import { ReadonlyGate } from './read-only.js'
import { SnapshotSender } from './snapshot-sender.js'
import type { SnapshotMeta } from './storage.js'
import { type LogIndex, maxIndex, minIndex, NO_INDEX, plus, type Term } from './types.js'
import { WitnessGate } from './witness-gate.js'

const REQUEST_BYTES_MAX = 512 * 1024
/** At most this long, and never longer than a quarter of the election timeout. */
const BUSY_RETRY_MS = 1000
/** A peer that answers nothing gets no more heartbeats than this, so that a paused process costs no memory. */
const HEARTBEATS_UNANSWERED_MAX = 64
/** A stream on which nothing was answered for this many election timeouts is given up and opened anew. */
const SILENT_TIMEOUTS_MAX = 4

/**
 * Sends the log of one leadership to one peer, in order, over a pipelined stream (braft Replicator).
 *
 * Owned by ReplicatorGroup while the node leads; stopped for good at step-down.
 *
 * - probe: one empty request looks for the point where the logs agree; nothing else is under way.
 * - replicate: entries are sent ahead of their answers, bounded by count and bytes.
 * - snapshot: the log no longer holds what the peer needs next; heartbeats go on while it installs one.
 * - blocked: after an error, until the back-off ends; then probe.
 *
 * Invariants
 * - matchIndex: newest index the peer said it holds durably; only answers to entries move it. matchIndex < nextIndex.
 * - nextIndex: the next index to send. What is in flight ends just below it; what is lost in flight takes it back no further
 *   than that, so that a stream that breaks costs what was under way and never the whole log again.
 * - a peer that is being rebuilt counts for nothing: its matchIndex is 0, what it holds stands in heldIndex.
 * - an answer counts only in the leadership it was sent in: events of a closed stream do not arrive.
 */
export class Replicator {
  matchIndex: LogIndex = NO_INDEX
  nextIndex: LogIndex
  /** Send time of the newest request it answered in this term; the start of the leadership before that. */
  lastAckedSentAt: number
  /** As `lastAckedSentAt`, of what it really answered: it votes for nobody for T after that arrived. */
  promisedSentAt = Number.NEGATIVE_INFINITY
  /** As `lastAckedSentAt`, also of what it answered while it counts for nothing. */
  heardSentAt: number
  /** The newest confirmation round (read-index.ts) that one of its answers belongs to. */
  ackedRound = 0
  answeredOnce = false
  rebuilding = false
  /** It said last that its disk runs short: it takes no entries. */
  isShort = false
  /** Of the peer, to be leader. */
  priority = DEFAULT_PRIORITY
  /** The peer was told, and has answered, that everything up to here is committed. */
  toldCommitted: LogIndex = NO_INDEX
  readonly readonlyGate: ReadonlyGate
  private readonly witnessGate: WitnessGate

  private state: PeerStatus['state'] = 'probe'
  private readonly sender: SnapshotSender
  private readonly heldLog: HeldLog
  /** What the process at the other end of this stream acknowledged, flagged or not. */
  private heldIndex: LogIndex = NO_INDEX
  private stream: AppendStream | null = null
  private seq = 0
  private readonly inflight = new InFlight()
  private readonly heartbeats = new BeatsInFlight()
  private probeSeq = 0
  private lastEmpty: AppendEntriesRequest | null = null
  private reading = false
  /** The peer answers, but takes no entries: it is not well before it does. */
  private entriesRefused = false
  private blockTimer: Timer | null = null
  private readonly health: PeerHealth
  private stopped = false

  constructor(
    private readonly node: NodeImpl,
    readonly peerId: PeerId,
  ) {
    this.heldLog = new HeldLog(node)
    this.health = new PeerHealth(node, peerId)
    this.readonlyGate = new ReadonlyGate(node.log)
    this.witnessGate = new WitnessGate(node, peerId)
    this.sender = new SnapshotSender(node, peerId, {
      offered: (meta) => this.heldLog.begin(meta.lastIncluded.index),
      installed: (meta) => this.onInstalled(meta),
      failed: (status, retryAfterMs) => this.onInstallFailed(status, retryAfterMs),
    })
    this.nextIndex = plus(node.log.lastIndex, 1)
    this.lastAckedSentAt = node.env.clock.now()
    this.heardSentAt = this.lastAckedSentAt
  }

  get consecutiveErrors(): number {
    return this.health.consecutiveErrors
  }

  /** Newest index up to which the logs are known to agree, durable there or not. */
  get agreedIndex(): LogIndex {
    if (this.state !== 'replicate') return this.matchIndex
    return maxIndex(this.matchIndex, plus(this.inflight.oldest?.first ?? this.nextIndex, -1))
  }

  /** What the log must go on to hold for a snapshot under way to be of use; null: nothing. */
  get neededFrom(): LogIndex | null {
    return this.heldLog.from(this.heardSentAt)
  }

  /** It lacks entries that are in no log any more. */
  get isInstallingSnapshot(): boolean {
    return this.state === 'snapshot' || this.nextIndex < this.node.log.firstIndex
  }

  start(): void {
    this.probe()
  }

  stop(): void {
    this.stopped = true
    this.blockTimer?.cancel()
    this.sender.stop()
    this.stream?.close()
    this.stream = null
  }

  /** It is in read-only mode, and lacks what it is not sent in that mode. */
  get isHeldBack(): boolean {
    return this.readonlyGate.isClosed && this.readonlyGate.last < this.node.log.lastIndex
  }

  private get last(): LogIndex {
    return minIndex(this.readonlyGate.last, this.witnessGate.last)
  }

  /** Since when a request with entries has not been answered; null when none is under way. */
  get unansweredSince(): number | null {
    return this.inflight.oldest?.sentAt ?? null
  }

  /** Sends what there is to send. Called whenever the log grew or room was made. */
  replicate(): void {
    if (this.stopped || this.state !== 'replicate') return
    const { last } = this
    if (this.nextIndex > last) return
    if (this.needsSnapshot) return this.installSnapshot()
    const { log } = this.node
    while (!this.reading && this.nextIndex <= last && this.inflight.hasRoom) {
      const batch = log.cached(this.nextIndex, last, REQUEST_BYTES_MAX)
      if (!batch) return this.readFromDisk()
      this.sendEntries(batch)
      if (this.state !== 'replicate') return
    }
  }

  /** The peer knows that everything up to `last` is committed, and has answered what it was asked. */
  isIdle(last: LogIndex): boolean {
    return this.toldCommitted === last && this.heartbeats.count === 0 && this.consecutiveErrors === 0
  }

  /** A request without entries, answered at once: keeps the follower from campaigning, tells it what is committed. */
  heartbeat(): void {
    if (this.stopped || !this.openStream()) return
    if (this.isSilent()) return this.fail(Status.error(ErrorCode.ETIMEDOUT, 'the peer answers nothing'), this.node.heartbeatMs)
    // It may be sent more by now, because others fell silent.
    if (this.peerId.isWitness) this.replicate()
    if (this.heartbeats.count >= HEARTBEATS_UNANSWERED_MAX || !this.stream) return
    this.beat(maxIndex(this.agreedIndex, this.heldIndex))
  }

  private beat(prev: LogIndex): number {
    const sentAt = this.node.env.clock.now()
    this.node.lease.noteTime(sentAt)
    this.lastEmpty = emptyRequest(this.node, this, prev, this.lastEmpty)
    const seq = this.send(this.lastEmpty)
    const known = this.node.log.knows(prev) ? prev : NO_INDEX
    const committed = minIndex(known, this.node.ballotBox.lastCommittedIndex)
    this.heartbeats.push({ seq, sentAt, round: this.node.reads.currentRound, committed })
    return seq
  }

  status(): PeerStatus {
    const { clock } = this.node.env
    return {
      peerId: this.peerId,
      matchIndex: maxIndex(this.matchIndex, this.heldIndex),
      nextIndex: this.nextIndex,
      inflightRequests: this.inflight.count,
      inflightBytes: this.inflight.bytes,
      state: this.state,
      lastContactMs: this.answeredOnce ? Math.round(clock.now() - this.heardSentAt) : null,
      consecutiveErrors: this.consecutiveErrors,
      lastError: this.health.lastError,
      rebuilding: this.rebuilding,
      isShort: this.isShort,
      readonlyIndex: this.readonlyGate.index,
      priority: this.priority,
      witness: this.peerId.isWitness,
      snapshotBytesSent: this.sender.progress?.sentBytes ?? 0,
      snapshotBytesTotal: this.sender.progress?.totalBytes ?? 0,
    }
  }

  /** What comes next was cut off, or what it follows is not known any more. */
  private get needsSnapshot(): boolean {
    const { log } = this.node
    return this.nextIndex < log.firstIndex || !log.knows(plus(this.nextIndex, -1))
  }

  private installSnapshot(): void {
    if (this.inflight.count > 0) this.closeStream()
    this.state = 'snapshot'
    this.sender.send()
  }

  private onInstalled({ lastIncluded: { index } }: SnapshotMeta): void {
    this.entriesRefused = false
    this.health.noteSuccess()
    if (this.rebuilding) this.heldIndex = maxIndex(this.heldIndex, index)
    else this.matchIndex = maxIndex(this.matchIndex, index)
    this.nextIndex = maxIndex(this.nextIndex, plus(index, 1))
    this.heldLog.advance(index)
    if (this.state !== 'snapshot') return
    this.state = 'replicate'
    this.node.transfer.onProgress(this)
    this.replicate()
  }

  private onInstallFailed(status: Status, retryAfterMs: number): void {
    this.health.noteError(status)
    this.entriesRefused = true
    if (this.state !== 'snapshot') return
    this.blockTimer?.cancel()
    this.blockTimer = this.node.env.clock.schedule(retryAfterMs, () => this.probe(), 'replicator.snapshot')
  }

  private isSilent(): boolean {
    const { oldest } = this.heartbeats
    return oldest !== null && this.node.env.clock.now() - oldest.sentAt > SILENT_TIMEOUTS_MAX * this.node.electionTimeoutMs
  }

  private probe(): void {
    if (this.stopped) return
    this.state = 'probe'
    if (!this.openStream()) return
    this.probeSeq = this.beat(plus(this.nextIndex, -1))
  }

  private readFromDisk(): void {
    this.reading = true
    const { log } = this.node
    const from = this.nextIndex
    log.read(from, this.last, REQUEST_BYTES_MAX, (status, batch) => {
      this.reading = false
      if (this.stopped) return
      if (status.code === ErrorCode.ELOGDELETED) return this.replicate()
      if (!status.ok) return this.fail(status, this.node.heartbeatMs)
      if (this.state !== 'replicate' || from !== this.nextIndex) return this.replicate()
      this.sendEntries(batch!)
      this.replicate()
    })
  }

  private sendEntries(whole: EntryBatch): void {
    assert(whole.firstIndex === this.nextIndex, 'a gap in what is sent', { next: this.nextIndex, first: whole.firstIndex })
    const batch = this.witnessGate.sent(whole)
    if (batch instanceof Status) return this.fail(batch, this.node.electionTimeoutMs)
    if (!this.openStream()) return
    const sentAt = this.node.env.clock.now()
    const seq = this.send(entriesRequest(this.node, this, (batch.firstIndex - 1) as LogIndex, batch))
    const { firstIndex: first, lastIndex: last, byteLength: bytes } = batch
    const committed = minIndex(last, this.node.ballotBox.lastCommittedIndex)
    this.inflight.push({ seq, first, last, bytes, sentAt, round: this.node.reads.currentRound, committed })
    this.nextIndex = plus(batch.lastIndex, 1)
  }

  private send(request: AppendEntriesRequest): number {
    const seq = ++this.seq
    this.stream!.send(seq, request)
    return seq
  }

  private openStream(): boolean {
    if (this.stream) return true
    if (this.state === 'blocked') return false
    const { node } = this
    this.stream = node.env.transport.openAppendStream(node.groupId, node.serverId, this.peerId, {
      answer: (seq, status, response) => this.onAnswer(seq, status, response),
      broken: (status) => {
        this.stream = null
        this.fail(status, node.heartbeatMs)
      },
    })
    return true
  }

  private onAnswer(seq: number, status: Status, response?: AppendEntriesResponse): void {
    if (this.stopped) return
    const beat = this.heartbeats.get(seq)
    if (!status.ok) return this.onRefused(seq, beat, status)
    const { term, success, rebuilding } = response!
    if (term > this.node.meta.term) return this.onHigherTerm(term)
    if (term < this.node.meta.term) return this.failFaulty(`answered as of term ${term}`)
    this.answeredOnce = true
    this.isShort = response!.short
    if (rebuilding !== this.rebuilding) this.onFlag(rebuilding)
    if (rebuilding) this.node.settling.onFlagged(this)
    if (!beat && success) this.entriesRefused = false
    if (!this.entriesRefused) this.health.noteSuccess()
    if (beat) this.onEmptyAnswer(beat, response!)
    else this.onEntriesAnswer(seq, response!)
    if (!this.stopped) this.node.onPeerContact(this)
  }

  /** The peer turned out to have lost its past, or counts again. */
  private onFlag(rebuilding: boolean): void {
    this.rebuilding = rebuilding
    if (rebuilding) {
      this.matchIndex = NO_INDEX
      this.node.ballotBox.forget(this.peerId)
    } else {
      this.matchIndex = maxIndex(this.matchIndex, this.heldIndex)
      this.node.ballotBox.commitAt(this.matchIndex, this.peerId)
    }
  }

  private onRefused(seq: number, beat: Beat | null, status: Status): void {
    if (beat) this.heartbeats.remove(beat)
    if (beat && seq !== this.probeSeq) return this.health.noteError(status)
    if (!beat) this.entriesRefused = true
    const busy = status.code === ErrorCode.EBUSY || status.code === ErrorCode.EINTR
    // The probe after it is also the next heartbeat: it must come well within an election timeout.
    this.fail(status, busy ? Math.min(BUSY_RETRY_MS, this.node.electionTimeoutMs / 4) : this.node.heartbeatMs)
  }

  /** Only a member can tell that this leadership is over: others may have raised their term for nothing. */
  private onHigherTerm(term: Term): void {
    if (this.node.configuration.knows(this.peerId)) return this.node.onHigherTerm(term, this.peerId)
    this.fail(Status.error(ErrorCode.EINVAL, `it is in term ${term}, which this group never was in`), this.node.heartbeatMs)
  }

  /** What no correct peer does must not stop this process. */
  private failFaulty(what: string): void {
    this.fail(Status.error(ErrorCode.EREQUEST, `${this.peerId} ${what} in term ${this.node.meta.term}`), this.node.heartbeatMs)
  }

  private noteContact(sentAt: number, round: number): void {
    this.heardSentAt = Math.max(this.heardSentAt, sentAt)
    if (this.rebuilding) return
    if (sentAt > this.lastAckedSentAt) this.lastAckedSentAt = sentAt
    if (sentAt > this.promisedSentAt) this.promisedSentAt = sentAt
    if (round > this.ackedRound) this.ackedRound = round
  }

  private onEmptyAnswer(sent: Beat, response: AppendEntriesResponse): void {
    this.heartbeats.remove(sent)
    // What a peer says of itself; braft does so in answers to empty requests only.
    this.priority = response.priority ?? DEFAULT_PRIORITY
    if (this.readonlyGate.note(response.readonly)) this.replicate()
    if (response.success) this.toldCommitted = maxIndex(this.toldCommitted, sent.committed)
    this.noteContact(sent.sentAt, sent.round)
    if (sent.seq !== this.probeSeq || this.state !== 'probe') return
    this.probeSeq = 0
    if (response.success) {
      this.state = 'replicate'
      if (!this.needsSnapshot) this.sender.withdraw()
      return this.replicate()
    }
    this.rewindAndProbe(response.lastLogIndex)
  }

  private onEntriesAnswer(seq: number, response: AppendEntriesResponse): void {
    const sent = this.inflight.oldest
    if (!sent || seq < sent.seq) return
    if (seq !== sent.seq) return this.failFaulty(`answered request ${seq} before ${sent.seq}`)
    this.noteContact(sent.sentAt, sent.round)
    if (!response.success) {
      // What was sent after it fails as well; the stream is opened anew so that those answers cannot be mistaken.
      this.closeStream()
      return this.rewindAndProbe(response.lastLogIndex)
    }
    this.inflight.shift()
    this.toldCommitted = maxIndex(this.toldCommitted, sent.committed)
    this.heldIndex = maxIndex(this.heldIndex, sent.last)
    this.heldLog.advance(sent.last)
    if (!this.rebuilding) {
      this.matchIndex = maxIndex(this.matchIndex, sent.last)
      this.node.ballotBox.commitAt(this.matchIndex, this.peerId)
      if (!this.peerId.isWitness) this.node.replicators.replicateToWitnesses()
    }
    if (this.stopped) return
    this.node.transfer.onProgress(this)
    this.replicate()
  }

  /** The logs disagree before nextIndex: go back, at least one entry, never below what the peer holds. */
  private rewindAndProbe(peerLast: LogIndex): void {
    const back = peerLast + 1 < this.nextIndex ? peerLast + 1 : this.nextIndex - 1
    if (back <= this.matchIndex) {
      const lost = Status.error(ErrorCode.ESTALE, `the peer lost entries up to ${this.matchIndex} that it had acknowledged`)
      if (back < 1 || !this.node.options.logStorage.acknowledgesEarly) return this.fail(lost, this.node.heartbeatMs)
      this.matchIndex = plus(back as LogIndex, -1)
      this.node.ballotBox.forget(this.peerId)
    }
    this.nextIndex = back as LogIndex
    this.probe()
  }

  private closeStream(): void {
    this.stream?.close()
    this.stream = null
    this.heartbeats.clear()
    this.probeSeq = 0
    this.heldIndex = NO_INDEX
    if (this.inflight.oldest) this.nextIndex = this.inflight.oldest.first
    this.inflight.clear()
  }

  private fail(status: Status, retryAfterMs: number): void {
    if (this.stopped) return
    this.health.noteError(status)
    this.closeStream()
    this.sender.interrupt()
    this.state = 'blocked'
    this.blockTimer?.cancel()
    this.blockTimer = this.node.env.clock.schedule(retryAfterMs, () => this.probe(), 'replicator.block')
  }
}
