import * as grpc from '@grpc/grpc-js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Handlers } from './grpc.js'
import type { CallFailure, DuplexCall, UnaryCall, UnaryDone } from './grpc-call.js'
import { MetadataKey } from './identity.js'
import type { Peer } from './peer-definition.js'
import { type PeerService, UNARY_METHODS, type UnaryMethod } from './peer-service.js'

/** raftctl.v1.Peer by gRPC, for RpcServer.addGrpcService. */
export function grpcPeerHandlers(service: PeerService): Handlers<(typeof Peer)['methods']> {
  const unary = UNARY_METHODS.map((method) => [method, unaryHandler(service, method)])
  return { ...Object.fromEntries(unary), Append: (call) => append(service, call) }
}

function unaryHandler(service: PeerService, method: UnaryMethod) {
  return (call: UnaryCall<Buffer>, done: UnaryDone<Uint8Array>) =>
    service.call(method, {
      fields: (key) => call.field(key),
      request: call.request,
      answer: (status, response) => {
        if (status.ok && response) done(null, response)
        else done(failed(status.ok ? Status.error(ErrorCode.EINTERNAL, 'answered without a response') : status))
      },
      // The caller's deadline ends the call.
      drop: () => {},
    })
}

function append(service: PeerService, call: DuplexCall<Buffer, Uint8Array>): void {
  const opened = service.openAppend((key) => call.field(key), {
    end: ({ message }) => call.fail({ code: grpc.status.UNAVAILABLE, details: message }),
  })
  if (opened instanceof Status) return call.fail(failed(opened))
  const { receiver, isHeard } = opened
  if (isHeard) call.sendHeaders()
  const reply = { acknowledge: (ack: Buffer) => void call.write(ack), drop: () => {} }
  call.on('data', (bytes) => receiver.frame(bytes, reply))
  call.on('end', () => {
    receiver.closed()
    call.end()
  })
  for (const event of ['cancelled', 'close'] as const) call.on(event, () => receiver.closed())
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
function failed(status: Status): CallFailure {
  const metadata = new grpc.Metadata()
  metadata.set(MetadataKey.errno, String(status.code))
  return { code: GRPC_CODES[status.code] ?? grpc.status.FAILED_PRECONDITION, details: status.message, metadata }
}
