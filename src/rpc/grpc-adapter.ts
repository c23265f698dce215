import type * as grpc from '@grpc/grpc-js'
import { decorate, grpcStatusOf } from './braft-error.js'
import { asBuffer } from './grpc.js'
import { dispatch, type RpcMethod, type RpcService, shortName } from './service.js'

/**
 * A service of every protocol as gRPC serves it: by its full and its short name, errors mapped as brpc maps them.
 * Requests are decoded by `dispatch`, not by grpc-js: a missing required field is brpc's EREQUEST, INVALID_ARGUMENT here.
 */
export function grpcDefinitions(
  service: RpcService,
): { definition: grpc.ServiceDefinition; implementation: grpc.UntypedServiceImplementation }[] {
  const implementation: Record<string, grpc.UntypedHandleCall> = {}
  for (const [name, method] of Object.entries(service.methods)) implementation[name] = handler(method)
  const names = new Set([service.name, shortName(service.name)])
  return [...names].map((name) => ({ definition: definitionOf(name, Object.keys(service.methods)), implementation }))
}

function definitionOf(serviceName: string, methods: readonly string[]): grpc.ServiceDefinition {
  const definition: Record<string, grpc.MethodDefinition<unknown, unknown>> = {}
  for (const method of methods) {
    definition[method] = {
      path: `/${serviceName}/${method}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: (message) => message as Buffer,
      requestDeserialize: (bytes) => bytes,
      responseSerialize: (message) => message as Buffer,
      responseDeserialize: (bytes) => bytes,
      originalName: method,
    }
  }
  return definition
}

function handler(method: RpcMethod): grpc.handleUnaryCall<Buffer, Buffer> {
  return (call, callback) => {
    const context = {
      protocol: 'grpc',
      attachment: NONE,
      peerAddress: call.getPeer(),
      fields: fieldsOf(call.metadata),
      drop: () => {},
    } as const
    dispatch(method, call.request, context, (status, response) => {
      if (status.ok) callback(null, asBuffer(response))
      else callback({ code: grpcStatusOf(status.code), details: decorate(status, call.getHost()) })
    })
  }
}

function fieldsOf(metadata: grpc.Metadata): ReadonlyMap<string, string> {
  return new Map(Object.entries(metadata.getMap()).flatMap(([key, value]) => (typeof value === 'string' ? [[key, value] as const] : [])))
}

const NONE = Buffer.alloc(0)
