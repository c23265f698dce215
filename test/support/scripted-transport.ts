import type { AppendStream, AppendStreamEvents, Call, Clock, DialResult, Transport } from '../../src/raft/environment.js'
import { assert, ErrorCode, Status } from '../../src/raft/errors.js'
import type { AppendEntriesRequest, AppendEntriesResponse, PeerCalls, PeerMethod } from '../../src/raft/messages.js'
import type { PeerId } from '../../src/raft/peer-id.js'

/** A call that the node made and nobody answered yet. */
export interface ScriptedCall<M extends PeerMethod = PeerMethod> {
  readonly to: PeerId
  readonly method: M
  readonly request: PeerCalls[M]['request']
  isOpen: boolean
  finish(status: Status, response?: PeerCalls[M]['response']): void
}

export interface ScriptedDial {
  readonly to: PeerId
  finish(result: DialResult): void
}

/** One append stream, from the sender's side; the test plays the receiver. */
export class ScriptedStream implements AppendStream {
  /** Every request, and those that wait for an answer. */
  readonly sent: { readonly seq: number; readonly request: AppendEntriesRequest }[] = []
  readonly unanswered: { readonly seq: number; readonly request: AppendEntriesRequest }[] = []
  isOpen = true

  constructor(
    readonly to: PeerId,
    private readonly events: AppendStreamEvents,
  ) {}

  send(seq: number, request: AppendEntriesRequest): void {
    assert(this.isOpen, 'sent on a stream that is closed', { to: this.to.key })
    this.sent.push({ seq, request })
    this.unanswered.push({ seq, request })
  }

  close(): void {
    assert(this.isOpen, 'a stream is closed twice', { to: this.to.key })
    this.isOpen = false
  }

  get newest(): AppendEntriesRequest {
    return this.sent.at(-1)!.request
  }

  /** Answers request number `seq`. An answer of a closed stream does not arrive. */
  answer(seq: number, status: Status, response?: AppendEntriesResponse): void {
    const at = this.unanswered.findIndex((sent) => sent.seq === seq)
    if (at >= 0) this.unanswered.splice(at, 1)
    if (this.isOpen) this.events.answer(seq, status, response)
  }

  /** Takes the oldest request that waits, with success unless told otherwise. */
  answerOne(fields: Partial<AppendEntriesResponse> = {}): AppendEntriesRequest {
    const next = this.unanswered[0]
    assert(next, 'nothing waits for an answer', { to: this.to.key })
    const { request } = next
    const lastLogIndex = request.entries?.lastIndex ?? request.prevLogIndex
    this.answer(next.seq, Status.OK, {
      term: request.term,
      success: true,
      lastLogIndex,
      readonly: false,
      short: false,
      rebuilding: false,
      ...fields,
    })
    return request
  }

  /** Takes everything that waits, and what is sent because of that. */
  answerAll(fields: Partial<AppendEntriesResponse> = {}): void {
    for (let count = 0; this.isOpen && this.unanswered.length > 0; count++) {
      assert(count < 1000, 'the sender never comes to rest')
      this.answerOne(fields)
    }
  }

  refuseOne(code: ErrorCode): void {
    const next = this.unanswered[0]
    assert(next, 'nothing waits for an answer', { to: this.to.key })
    this.answer(next.seq, Status.error(code, 'refused by the test'))
  }

  break(): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.events.broken(Status.error(ErrorCode.ECONNRESET, 'broken by the test'))
  }
}

/** A transport whose other end is the test. Calls end by their deadline when the test answers nothing. */
export class ScriptedTransport implements Transport {
  readonly calls: ScriptedCall[] = []
  readonly streams: ScriptedStream[] = []
  readonly dials: ScriptedDial[] = []
  clock!: Clock

  call<M extends PeerMethod>(
    to: PeerId,
    method: M,
    request: PeerCalls[M]['request'],
    timeoutMs: number,
    done: (status: Status, response?: PeerCalls[M]['response']) => void,
  ): Call {
    const call: ScriptedCall<M> = {
      to,
      method,
      request,
      isOpen: true,
      finish: (status, response) => {
        if (!call.isOpen) return
        call.isOpen = false
        timer.cancel()
        done(status, response)
      },
    }
    const timer = this.clock.schedule(timeoutMs, () => call.finish(Status.error(ErrorCode.ETIMEDOUT, 'no answer')), `call ${method}`)
    this.calls.push(call as unknown as ScriptedCall)
    return {
      cancel: () => {
        call.isOpen = false
        timer.cancel()
      },
    }
  }

  openAppendStream(_groupId: string, _from: PeerId, to: PeerId, events: AppendStreamEvents): AppendStream {
    const stream = new ScriptedStream(to, events)
    this.streams.push(stream)
    return stream
  }

  dial(to: PeerId, _timeoutMs: number, done: (result: DialResult) => void): void {
    this.dials.push({ to, finish: done })
  }

  /** Calls of one method that wait for an answer, oldest first. */
  open<M extends PeerMethod>(method: M, to?: PeerId): ScriptedCall<M>[] {
    const found = this.calls.filter((call) => call.isOpen && call.method === method && (!to || call.to.equals(to)))
    return found as unknown as ScriptedCall<M>[]
  }

  /** The newest stream to a peer. */
  stream(to: PeerId): ScriptedStream {
    const found = this.streams.findLast((stream) => stream.to.equals(to))
    assert(found, 'no stream was opened', { to: to.key })
    return found
  }
}
