import type * as grpc from '@grpc/grpc-js'
import { decorate, grpcStatusOf } from './braft-error.js'
import { asBuffer, defineService, type Handlers, type Methods, rawCodec, type Service, unary } from './grpc.js'
import type { UnaryCall, UnaryDone } from './grpc-call.js'
import { dispatch, type RpcMethod, type RpcService, shortName } from './service.js'

/**
 * A service of every protocol as gRPC serves it: by its full and its short name, errors mapped as brpc maps them.
 * Requests are decoded by `dispatch`: a missing required field is brpc's EREQUEST, INVALID_ARGUMENT here.
 */
export function grpcServices(service: RpcService): { service: Service<Methods>; handlers: Handlers<Methods> }[] {
  const names = new Set([service.name, shortName(service.name)])
  const methods = Object.fromEntries(Object.keys(service.methods).map((method) => [method, unary(rawCodec, rawCodec)]))
  const handlers = Object.fromEntries(Object.entries(service.methods).map(([name, method]) => [name, handler(method)]))
  return [...names].map((name) => ({ service: defineService(name, methods), handlers }))
}

function handler(method: RpcMethod) {
  return (call: UnaryCall<Buffer>, done: UnaryDone<Uint8Array>) => {
    const context = { protocol: 'grpc', attachment: NONE, peerAddress: call.peerAddress, fields: call.fields(), drop: () => {} } as const
    dispatch(method, call.request, context, (status, response) => {
      if (status.ok) done(null, asBuffer(response))
      else done({ code: grpcStatusOf(status.code) as grpc.status, details: decorate(status, call.host) })
    })
  }
}

const NONE = Buffer.alloc(0)
