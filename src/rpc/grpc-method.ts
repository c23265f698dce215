import type { Codec, MethodKind } from './grpc.js'
import type { ServerStreamCall, UnaryCall, UnaryDone } from './grpc-call.js'

interface Functions {
  unary: (call: UnaryCall<unknown>, done: UnaryDone<unknown>) => void
  serverStream: (call: ServerStreamCall<unknown, unknown>) => void
  bidiStream: (call: ServerStreamCall<unknown, unknown>) => void
}

/** A method as a server runs it, its messages forgotten. */
export interface HandledMethod<K extends MethodKind = MethodKind> {
  readonly kind: K
  readonly request: Codec<unknown, unknown>
  readonly response: Codec<unknown, unknown>
  readonly handler: Functions[K]
}

/** Null for bytes that are no such message. */
export function decoded(codec: Codec<unknown, unknown>, message: Buffer): { readonly value: unknown } | null {
  try {
    return { value: codec.decode(message) }
  } catch {
    return null
  }
}
