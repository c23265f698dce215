import type { Call, Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { GetFileResponse } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'

const RETRY_MS = 1000
/** After the first try (braft: 1 try and 3 retries in a row). */
const RETRIES_MAX = 3
const TIMEOUT_MS_MIN = 1000
const TIMEOUT_MS_MAX = 10_000
/** A list of files is answered as a whole, however long it is. */
const WHOLE = 0xffffffff

/** What a retry does not help against: the source does not read this snapshot any more, or has no such file. */
const HOPELESS: ReadonlySet<number> = new Set([ErrorCode.ENOENT, ErrorCode.EPERM, ErrorCode.EINVAL])

/**
 * Asks a source for pieces of files, each checked by its CRC-32C, at the pace that the throttle allows.
 * A piece that fails is asked for again after a second; three retries in a row end it, as in braft.
 */
export class SnapshotFetcher {
  private readonly calls = new Set<Call>()
  private readonly timers = new Set<Timer>()
  private readonly queued = new Set<{ forget: () => void }>()
  private failures = 0
  private stopped = false

  constructor(
    private readonly node: NodeImpl,
    private readonly source: PeerId,
    private readonly readerId: string,
  ) {}

  /** After this nothing is answered any more. */
  stop(): void {
    this.stopped = true
    for (const call of this.calls) call.cancel()
    for (const timer of this.timers) timer.cancel()
    for (const waiting of this.queued) waiting.forget()
  }

  fetchWhole(filename: string, done: (status: Status, data?: Buffer) => void): void {
    this.fetch(filename, 0, WHOLE, (status, piece) => done(status, piece?.data))
  }

  /** A piece from `offset` on, at most `count` bytes; the failure that ended the tries. */
  fetch(filename: string, offset: number, count: number, done: (status: Status, piece?: GetFileResponse) => void): void {
    const waiting = { forget: () => {} }
    this.queued.add(waiting)
    waiting.forget = this.node.snapshots.receiving.take(count === WHOLE ? 1 : count, () => {
      this.queued.delete(waiting)
      if (!this.stopped) this.ask(filename, offset, count, done)
    })
  }

  private ask(filename: string, offset: number, count: number, done: (status: Status, piece?: GetFileResponse) => void): void {
    const { node, source, readerId } = this
    const request = { groupId: node.groupId, serverId: node.serverId, peerId: source, readerId, filename, offset, count }
    const timeoutMs = Math.min(TIMEOUT_MS_MAX, Math.max(TIMEOUT_MS_MIN, 2 * node.electionTimeoutMs))
    const call = node.env.transport.call(source, 'getFile', request, timeoutMs, (status, piece) => {
      this.calls.delete(call)
      if (this.stopped) return
      const outcome = status.ok ? this.judge(piece!, count) : status
      if (outcome.ok) {
        this.failures = 0
        return done(outcome, piece)
      }
      if (HOPELESS.has(outcome.code) || (outcome.code !== ErrorCode.EAGAIN && ++this.failures > RETRIES_MAX)) return done(outcome)
      this.retry(() => this.ask(filename, offset, count, done))
    })
    this.calls.add(call)
  }

  private judge(piece: GetFileResponse, count: number): Status {
    if (piece.data.length > count) return Status.error(ErrorCode.EREQUEST, `${piece.data.length} bytes instead of ${count}`)
    if (this.node.env.checksum.crc32c(piece.data) !== piece.crc32c) return Status.error(ErrorCode.EREQUEST, 'a piece arrived damaged')
    if (piece.data.length === 0 && !piece.eof) return Status.error(ErrorCode.EREQUEST, 'an empty piece before the end of the file')
    return Status.OK
  }

  private retry(ask: () => void): void {
    const timer = this.node.env.clock.schedule(
      RETRY_MS,
      () => {
        this.timers.delete(timer)
        ask()
      },
      'snapshot.retry',
    )
    this.timers.add(timer)
  }
}
