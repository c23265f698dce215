import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../generated/raftctl.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { RaftEvent } from '../raft/events.js'
import type { EntryBatch } from '../raft/log-entry.js'
import { type LogIndex, logIndex, minIndex, plus } from '../raft/types.js'
import { failure } from './control-common.js'
import type { ControlHost, ControlledNode } from './control-host.js'
import type { CallFailure, ServerStreamCall } from './grpc-call.js'
import { type LogRecordFields, READ_BYTES, rangeOf, readFailure, recordOf } from './log-record.js'

type Call = ServerStreamCall<raftctl.v1.ReadLogRequest, LogRecordFields>

/**
 * One caller that reads a log, to an end or for as long as it listens.
 *
 * Holds one batch of entries at most, and reads the next when the caller took this one: a slow reader costs no memory and holds
 * nobody up.
 *
 * Invariant: what was sent are the entries below `next`, each as the log had it when it was sent. When the end of the log is
 * replaced, `next` goes back to the first replaced entry, and a batch read before is not sent any more.
 */
export class LogStream {
  private next: LogIndex = logIndex(0)
  /** Last entry to send; Infinity while it follows. */
  private to = 0
  private batch: EntryBatch | null = null
  private reading = false
  private waking = false
  private blocked = false
  private ended = false
  /** How often the end of the log was replaced. */
  private cuts = 0
  private unwatch: () => void = () => {}

  constructor(
    private readonly host: ControlHost,
    private readonly node: ControlledNode,
    private readonly call: Call,
    private readonly types: ReadonlySet<number> | null,
  ) {}

  /** From here on the stream ends itself, or its caller does. */
  start(): void {
    const { call } = this
    const { from, to } = rangeOf(call.request, this.node)
    this.next = from
    this.to = to
    for (const end of ['cancelled', 'close'] as const) call.on(end, () => this.release())
    call.on('drain', () => {
      this.blocked = false
      this.pump()
    })
    this.unwatch = this.host.events.watch((event) => this.onEvent(event))
    // Whoever follows knows from here on that it misses nothing.
    call.sendHeaders()
    this.pump()
  }

  private onEvent(event: RaftEvent): void {
    if (event.groupId !== this.node.groupId || this.ended) return
    switch (event.name) {
      case 'log.truncated':
        this.cuts++
        this.batch = null
        this.next = minIndex(this.next, plus(event.lastKept, 1))
        return this.wake()
      case 'commit.advanced':
        return this.wake()
      case 'log.durable':
        return this.call.request.committed_only ? undefined : this.wake()
      case 'node.error':
      case 'node.stopped':
        return this.wake()
      case 'state.changed':
        return event.to === 'SHUTTING' ? this.fail(stopping(this.node)) : undefined
    }
  }

  /** Looks once for all that happens in this turn, and only when it waits for news. */
  private wake(): void {
    if (this.waking || this.reading || this.blocked) return
    this.waking = true
    setImmediate(() => {
      this.waking = false
      this.pump()
    })
  }

  private pump(): void {
    if (this.ended || this.reading || this.blocked) return
    if (this.batch && !this.send()) return
    if (this.next > this.to) return this.end()
    const status = this.node.status()
    if (status.state === 'ERROR') return this.fail(readFailure(this.node, this.next, status.error!.status))
    if (this.next < status.firstIndex) return this.fail(readFailure(this.node, this.next, gone(this.next, status.firstIndex)))
    const limit = Math.min(this.call.request.committed_only ? status.committedIndex : status.lastId.index, this.to)
    if (this.next <= limit) return this.read(logIndex(limit))
    if (!this.call.request.follow) this.end()
  }

  private read(limit: LogIndex): void {
    const { cuts, next } = this
    this.reading = true
    this.host.executor.post(
      () =>
        this.node.readLog(next, limit, READ_BYTES, (status, batch) => {
          this.reading = false
          if (this.ended) return
          const isStale = cuts !== this.cuts || status.code === ErrorCode.ECANCELED || status.code === ErrorCode.ERANGE
          if (!isStale && !status.ok) return this.fail(readFailure(this.node, next, status))
          if (!isStale) this.batch = batch!
          // Never from inside the read's own call: a log in memory would be read to its end without a pause.
          setImmediate(() => this.pump())
        }),
      'control',
    )
  }

  /** Sends the batch from `next` on; false when the caller has to take what is under way first. */
  private send(): boolean {
    const { host, call, types } = this
    const batch = this.batch!
    const view = { host, status: this.node.status(), withData: call.request.with_data }
    while (this.next <= batch.lastIndex) {
      const index = this.next
      this.next = plus(index, 1)
      if (types && !types.has(batch.typeAt(index))) continue
      if (call.write(recordOf({ batch, index }, view))) continue
      this.blocked = true
      break
    }
    if (this.next > batch.lastIndex) this.batch = null
    return !this.blocked
  }

  private end(): void {
    if (this.ended) return
    this.release()
    this.call.end()
  }

  private fail(error: CallFailure & Error): void {
    if (this.ended) return
    this.release()
    this.call.fail(error)
  }

  private release(): void {
    this.ended = true
    this.batch = null
    this.unwatch()
  }
}

function stopping(node: ControlledNode): CallFailure & Error {
  return failure(grpc.status.UNAVAILABLE, 'E_UNREACHABLE', `${node.peerId.address} is stopping`, { retryable: true })
}

function gone(index: LogIndex, first: LogIndex): Status {
  return Status.error(ErrorCode.ELOGDELETED, `entry ${index} was cut, the log starts at ${first}`)
}
