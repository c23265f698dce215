import * as grpc from '@grpc/grpc-js'
import { toGrpcError } from './error-detail.js'
import { MetadataKey, type ProcessIdentity } from './identity.js'
import { Peer } from './peer-definition.js'

export interface CallGuardOptions {
  readonly identity: ProcessIdentity
  /** Told about every call that ended: its path, its gRPC status and how long it took. */
  readonly onCall: (path: string, code: grpc.status, tookMs: number) => void
}

/** braft's services know nothing of clusters, and the append stream looks after itself: it is the hot path. */
const UNGUARDED = /^\/braft\./
const APPEND = `/${Peer.name}/Append`

/**
 * Runs around every gRPC call: a caller that expects another cluster is refused (FAILED_PRECONDITION,
 * E_CLUSTER_MISMATCH) before its request is read, and every answer says which member of which cluster gave it.
 */
export function callGuard(options: CallGuardOptions): grpc.ServerInterceptor {
  const { identity, onCall } = options
  return (method, call) => {
    if (method.path === APPEND) return new grpc.ServerInterceptingCall(call)
    const guarded = !UNGUARDED.test(method.path)
    const startedAt = performance.now()
    let greeted = false
    const greet = (metadata: grpc.Metadata) => {
      if (guarded && !greeted) for (const [key, value] of Object.entries(identity.responseMetadata())) metadata.set(key, value)
      greeted = true
    }
    return new grpc.ServerInterceptingCall(call, {
      start: (next) => next(guarded ? refusing(identity, call) : {}),
      sendMetadata: (metadata, next) => {
        greet(metadata)
        next(metadata)
      },
      sendStatus: (status, next) => {
        // An error without an answer has no initial metadata: its trailers introduce us.
        if (!greeted) status.metadata = status.metadata?.clone() ?? new grpc.Metadata()
        if (status.metadata) greet(status.metadata)
        onCall(method.path, status.code, performance.now() - startedAt)
        next(status)
      },
    })
  }
}

function refusing(identity: ProcessIdentity, call: grpc.ServerInterceptingCallInterface): grpc.ServerListener {
  return {
    onReceiveMetadata: (metadata, next) => {
      const expected = metadata.get(MetadataKey.clusterId)[0]
      const mismatch = identity.clusterMismatch(typeof expected === 'string' ? expected : undefined)
      if (!mismatch) return next(metadata)
      const {
        code,
        details,
        metadata: trailers,
      } = toGrpcError(grpc.status.FAILED_PRECONDITION, { code: 'E_CLUSTER_MISMATCH', retryable: false, applied: 'no' }, mismatch)
      for (const [key, value] of Object.entries(identity.responseMetadata())) trailers.set(key, value)
      call.sendStatus({ code, details, metadata: trailers } as grpc.StatusObject)
    },
  } as grpc.ServerListener
}
