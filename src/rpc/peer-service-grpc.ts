import * as grpc from '@grpc/grpc-js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Handlers } from './grpc.js'
import { MetadataKey } from './identity.js'
import type { FieldReader } from './peer-channel.js'
import type { Peer } from './peer-definition.js'
import { type PeerService, UNARY_METHODS, type UnaryMethod } from './peer-service.js'

type AppendCall = grpc.ServerDuplexStream<Buffer, Uint8Array>

/** raftctl.v1.Peer by gRPC, for RpcServer.addGrpcService. */
export function grpcPeerHandlers(service: PeerService): Handlers<(typeof Peer)['methods']> {
  const unary = UNARY_METHODS.map((method) => [method, unaryHandler(service, method)])
  return { ...Object.fromEntries(unary), Append: (call) => append(service, call) }
}

function unaryHandler(service: PeerService, method: UnaryMethod): grpc.handleUnaryCall<Buffer, Uint8Array> {
  return ({ metadata, request }, callback) =>
    service.call(method, {
      fields: reader(metadata),
      request,
      answer: (status, response) => {
        if (status.ok && response) callback(null, response)
        else callback(failed(status.ok ? Status.error(ErrorCode.EINTERNAL, 'answered without a response') : status))
      },
      // The caller's deadline ends the call.
      drop: () => {},
    })
}

function append(service: PeerService, call: AppendCall): void {
  const opened = service.openAppend(reader(call.metadata), {
    end: ({ message }) => call.emit('error', { code: grpc.status.UNAVAILABLE, details: message, metadata: new grpc.Metadata() }),
  })
  if (opened instanceof Status) {
    call.emit('error', failed(opened))
    return
  }
  const { receiver, isHeard } = opened
  const metadata = new grpc.Metadata()
  for (const [key, value] of Object.entries(service.options.identity.responseMetadata())) metadata.set(key, value)
  if (isHeard) call.sendMetadata(metadata)
  const reply = { acknowledge: (ack: Buffer) => void call.write(ack), drop: () => {} }
  call.on('data', (bytes: Buffer) => receiver.frame(bytes, reply))
  call.on('end', () => {
    receiver.closed()
    call.end()
  })
  for (const event of ['cancelled', 'close', 'error']) call.on(event, () => receiver.closed())
}

function reader(metadata: grpc.Metadata): FieldReader {
  return (key) => {
    const value = metadata.get(key)[0]
    return typeof value === 'string' ? value : undefined
  }
}

const GRPC_CODES: Readonly<Record<number, grpc.status>> = {
  [ErrorCode.ENOENT]: grpc.status.NOT_FOUND,
  [ErrorCode.EINVAL]: grpc.status.INVALID_ARGUMENT,
  [ErrorCode.EREQUEST]: grpc.status.INVALID_ARGUMENT,
  [ErrorCode.ETIMEDOUT]: grpc.status.DEADLINE_EXCEEDED,
  [ErrorCode.EAGAIN]: grpc.status.UNAVAILABLE,
  [ErrorCode.EHOSTDOWN]: grpc.status.UNAVAILABLE,
}

/** The engine's number travels in the trailers: the caller's engine matches by number. */
function failed(status: Status): grpc.StatusObject {
  const metadata = new grpc.Metadata()
  metadata.set(MetadataKey.errno, String(status.code))
  return { code: GRPC_CODES[status.code] ?? grpc.status.FAILED_PRECONDITION, details: status.message, metadata }
}
