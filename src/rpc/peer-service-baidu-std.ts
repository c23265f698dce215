import { Status } from '../raft/errors.js'
import { BrpcCode } from './braft-error.js'
import { rawCodec } from './grpc.js'
import type { FieldReader } from './peer-channel.js'
import { Peer, StreamMethod } from './peer-definition.js'
import { type AppendReceiver, type PeerService, UNARY_METHODS, type UnaryMethod } from './peer-service.js'
import { type CallConnection, type CallContext, type Reply, type RpcMethod, type RpcService, rpcMethod } from './service.js'

/** raftctl.v1.Peer by baidu_std, for RpcServer.addBaiduStdService. baidu-std-peer-channel.ts is the other end. */
export function baiduStdPeerService(service: PeerService): RpcService {
  const streams = new AppendStreams(service)
  const answerFields = () => new Map(Object.entries(service.options.identity.responseMetadata()))
  const method = (handle: RpcMethod['handle']) => rpcMethod({ request: rawCodec, response: rawCodec, handle })
  const greeting = (handle: RpcMethod['handle']) => ({ ...method(handle), answerFields })
  const unary = UNARY_METHODS.map((name) => [name, greeting((request, context, done) => call(service, name, request, context, done))])
  return {
    name: Peer.name,
    methods: {
      ...Object.fromEntries(unary),
      [StreamMethod.open]: greeting((_request, context, done) => streams.open(context, done)),
      [StreamMethod.frame]: method((request, context, done) => streams.frame(request, context, done)),
      [StreamMethod.close]: method((_request, context, done) => streams.close(context, done)),
    },
  }
}

function call(service: PeerService, method: UnaryMethod, request: Buffer, context: CallContext, done: Reply<Uint8Array>): void {
  service.call(method, {
    fields: reader(context),
    request,
    answer: (status, response) => (status.ok ? done(status, response) : done(status)),
    drop: () => context.drop(),
  })
}

function reader({ fields }: CallContext): FieldReader {
  return (key) => fields.get(key)
}

/** A stream and the calls of it that wait for their acknowledgement. */
interface Open {
  readonly receiver: AppendReceiver
  readonly waiting: Set<(status: Status) => void>
}

/** The append streams of every connection, by the log id that opened them. */
class AppendStreams {
  private readonly byConnection = new WeakMap<CallConnection, Map<bigint, Open>>()

  constructor(private readonly service: PeerService) {}

  open(context: CallContext, done: Reply<Uint8Array>): void {
    const { connection, logId } = context
    const streams = connection && this.streamsOf(connection)
    if (!streams || logId === undefined || streams.has(logId))
      return done(new Status(BrpcCode.EREQUEST, 'a stream is opened by a log id that names none on its connection yet'))
    const waiting: Open['waiting'] = new Set()
    const opened = this.service.openAppend(reader(context), {
      end: (status) => {
        streams.delete(logId)
        refuseAll(waiting, ended(status.message))
      },
    })
    if (opened instanceof Status) return done(opened)
    streams.set(logId, { receiver: opened.receiver, waiting })
    if (opened.isHeard) done(Status.OK, NO_BYTES)
    else context.drop()
  }

  frame(request: Buffer, context: CallContext, done: Reply<Uint8Array>): void {
    const stream = this.find(context)
    if (!stream) return done(ended('there is no such stream'))
    const refuse = (status: Status) => done(status)
    const { waiting } = stream
    waiting.add(refuse)
    stream.receiver.frame(request, {
      acknowledge: (ack) => waiting.delete(refuse) && done(Status.OK, ack),
      drop: () => waiting.delete(refuse) && context.drop(),
    })
  }

  close(context: CallContext, done: Reply<Uint8Array>): void {
    const stream = this.find(context)
    if (stream) this.streamsOf(context.connection!).delete(context.logId!)
    done(Status.OK, NO_BYTES)
    if (stream) over(stream)
  }

  private find({ connection, logId }: CallContext): Open | undefined {
    return connection && logId !== undefined ? this.byConnection.get(connection)?.get(logId) : undefined
  }

  private streamsOf(connection: CallConnection): Map<bigint, Open> {
    let streams = this.byConnection.get(connection)
    if (!streams) {
      const opened = (streams = new Map<bigint, Open>())
      this.byConnection.set(connection, opened)
      connection.onClose(() => {
        for (const stream of opened.values()) over(stream)
        opened.clear()
      })
    }
    return streams
  }
}

/** Whoever opened it does not wait for its answers any more. */
function over({ receiver, waiting }: Open): void {
  refuseAll(waiting, ended('the stream was closed'))
  receiver.closed()
}

function refuseAll(waiting: Open['waiting'], status: Status): void {
  const calls = [...waiting]
  waiting.clear()
  for (const refuse of calls) refuse(status)
}

function ended(why: string): Status {
  return new Status(BrpcCode.EEOF, why)
}

const NO_BYTES = Buffer.alloc(0)
