import { raftctl } from '../../generated/kv.js'
import type { Executor } from '../../raft/environment.js'
import { fromInt64 } from '../../raft/types.js'
import { bidiStream, defineService, type Handlers } from '../../rpc/grpc.js'
import type { DuplexCall } from '../../rpc/grpc-call.js'
import type { CallContext } from './call.js'
import { GrpcStatus, KvFailure } from './failure.js'
import { grpcError, type KvServices, passedOn, readModeOf, SessionKey, serviceFor } from './grpc-service.js'
import type { KvService } from './service.js'
import { BAD_SESSION, isStamp, type SessionStamp } from './sessions.js'

const { PipelineRequest, PipelineResponse } = raftctl.kv
type Request = raftctl.kv.PipelineRequest
type Call = raftctl.kv.PipelineCall.$Properties
type Answer = raftctl.kv.PipelineAnswer.$Properties
type PipelineStream = DuplexCall<Request, raftctl.kv.PipelineResponse.$Properties>

/** Many key-value calls on one stream (proto/kv_pipeline.proto). */
export const Pipeline = defineService('raftctl.kv.Pipeline', { Run: bidiStream(PipelineRequest, PipelineResponse) })

/** What may be in flight of one stream; with more its client is made to wait, by the window of its stream. */
const IN_FLIGHT_MAX = 8192
/** A read counts for so many: its answer may be large, and many may be confirmed at once. */
const READ_WEIGHT = 32
/** Small answers in one message. */
const ANSWERS_MAX = 1024
const NO_CALL = new KvFailure(GrpcStatus.INVALID_ARGUMENT, 'E_USAGE', 'a call of the pipeline asks for nothing')
const GONE = new KvFailure(GrpcStatus.UNAVAILABLE, 'E_NO_LEADER', 'the group has stopped here', 'no', true)

export interface PipelineOptions extends KvServices {
  readonly executor: Executor
}

/** For `RpcServer.addGrpcService(Pipeline, pipelineHandlers(…))`. */
export function pipelineHandlers({ serviceOf, executor }: PipelineOptions): Handlers<typeof Pipeline.methods> {
  return {
    Run: (stream) => {
      const service = serviceFor(stream, serviceOf)
      if (service instanceof KvFailure) stream.fail(grpcError(service))
      else new PipelineCalls(stream, service, executor).start()
    },
  }
}

/**
 * The calls of one stream. What is answered in one turn leaves in one message.
 *
 * Bounded: by IN_FLIGHT_MAX and by what its client has not read no more calls are begun, and the stream is held until there is room
 * again. The stream ends when its group stops here.
 */
class PipelineCalls {
  private readonly clientId: string | undefined
  private readonly rest: Pick<CallContext, 'forwarded' | 'readMode' | 'metadata' | 'isCancelled'>
  private acknowledgedThrough = 0
  /** Taken and not begun, oldest first; those before `begun` are. */
  private waiting: Call[] = []
  private begun = 0
  private answers: Answer[] = []
  private inFlight = 0
  private isPosted = false
  private isUnread = false
  private isEnding = false
  private isOver = false

  constructor(
    private readonly stream: PipelineStream,
    private readonly service: KvService,
    private readonly executor: Executor,
  ) {
    this.clientId = stream.field(SessionKey.clientId)
    this.rest = {
      forwarded: false,
      readMode: readModeOf(stream),
      metadata: passedOn(stream),
      isCancelled: () => stream.cancelled,
    }
  }

  start(): void {
    const { stream, service } = this
    const forget = service.onClose(() => this.stop())
    stream.sendHeaders()
    stream.on('data', ({ calls, acknowledged_through }) => {
      this.acknowledgedThrough = fromInt64(acknowledged_through)
      for (const call of calls) this.waiting.push(call)
      this.admit()
    })
    stream.on('drain', () => {
      this.isUnread = false
      this.admit()
    })
    stream.on('end', () => {
      this.isEnding = true
      this.endWhenDone()
    })
    stream.on('close', () => {
      this.isOver = true
      this.waiting = []
      this.begun = 0
      forget()
    })
  }

  /** What was in flight is answered: nothing of this group is any more. */
  private stop(): void {
    if (this.isOver) return
    this.flush()
    this.stream.fail(grpcError(GONE))
  }

  /** Begins what there is room for, and holds the stream while there is none. */
  private admit(): void {
    while (this.begun < this.waiting.length && this.hasRoom) this.begin(this.waiting[this.begun++]!)
    if (this.begun === this.waiting.length) {
      this.waiting = []
      this.begun = 0
    }
    if (this.hasRoom) this.stream.resume()
    else this.stream.pause()
  }

  private get hasRoom(): boolean {
    return !this.isUnread && this.inFlight < IN_FLIGHT_MAX
  }

  private begin(call: Call): void {
    const { service } = this
    const id = call.id ?? 0
    const weight = call.put || call.delete_range ? 1 : READ_WEIGHT
    this.inFlight += weight
    const session = this.sessionOf(call)
    if (session instanceof KvFailure) return this.end({ id, failure: failureOf(session) }, weight)
    const context: CallContext = { ...this.rest, session, timeoutMs: call.timeout_ms || null }
    const reply = (failure: KvFailure | null, result: Omit<Answer, 'id'>) =>
      this.end(failure === null ? { id, ...result } : { id, failure: failureOf(failure) }, weight)
    if (call.put) service.put(call.put, context, (failure, put) => reply(failure, { put }))
    else if (call.range) service.range(call.range, context, (failure, range) => reply(failure, { range }))
    else if (call.txn) service.txn(call.txn, context, (failure, txn) => reply(failure, { txn }))
    else if (call.delete_range) service.deleteRange(call.delete_range, context, (failure, delete_range) => reply(failure, { delete_range }))
    else reply(NO_CALL, {})
  }

  private sessionOf({ sequence, range }: Call): SessionStamp | KvFailure | null {
    const { clientId, acknowledgedThrough } = this
    if (clientId === undefined || range) return null
    const stamp = { clientId, sequence: fromInt64(sequence), acknowledgedThrough }
    return isStamp(stamp) ? stamp : BAD_SESSION
  }

  private end(answer: Answer, weight: number): void {
    this.inFlight -= weight
    if (!isSmall(answer)) this.flush()
    this.answers.push(answer)
    if (!isSmall(answer) || this.answers.length >= ANSWERS_MAX) this.flush()
    if (this.isPosted) return
    this.isPosted = true
    this.executor.post(() => {
      this.isPosted = false
      this.flush()
      this.admit()
      this.endWhenDone()
    }, 'kv-pipeline')
  }

  private flush(): void {
    const { answers, stream } = this
    if (answers.length === 0) return
    this.answers = []
    if (!stream.write({ answers })) this.isUnread = true
  }

  private endWhenDone(): void {
    if (this.isEnding && this.inFlight === 0 && this.waiting.length === 0 && this.answers.length === 0) this.stream.end()
  }
}

/** Whether a thousand such answers fit one message: what holds values of the client's leaves by itself. */
function isSmall({ failure, put, delete_range }: Answer): boolean {
  return Boolean(failure || (put && !put.prev_kv) || (delete_range && !delete_range.prev_kvs?.length))
}

function failureOf({ status, code, message, applied, retryable, leaderHint }: KvFailure): raftctl.kv.PipelineFailure.$Properties {
  return { status, code, message, applied, retryable, leader_hint: leaderHint }
}
