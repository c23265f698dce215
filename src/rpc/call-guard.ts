import * as grpc from '@grpc/grpc-js'
import { toGrpcError } from './error-detail.js'
import type { CallGuard } from './grpc-exchange.js'
import type { HeaderField } from './http2/header-encoder.js'
import { MetadataKey, type ProcessIdentity } from './identity.js'
import { Peer } from './peer-definition.js'

export interface CallGuardOptions {
  readonly identity: ProcessIdentity
  /** Told about every call that ended: its path, its gRPC status and how long it took. */
  readonly onCall: (path: string, code: grpc.status, tookMs: number) => void
}

/** braft's services know nothing of clusters. */
const UNGUARDED_PREFIX = '/braft.'
const APPEND = `/${Peer.name}/Append`
const NOBODY: readonly HeaderField[] = []

/**
 * Runs around every gRPC call: a caller that expects another cluster is refused (FAILED_PRECONDITION,
 * E_CLUSTER_MISMATCH) before its request is read, and every answer says which member of which cluster gave it. The append
 * stream judges its caller itself.
 */
export function callGuard({ identity, onCall }: CallGuardOptions): CallGuard {
  let known: { readonly clusterId: string | null; readonly fields: readonly HeaderField[] } | null = null
  const introduction = () => {
    if (known?.clusterId !== identity.clusterId || known === null)
      known = { clusterId: identity.clusterId, fields: Object.entries(identity.responseMetadata()) }
    return known.fields
  }
  return {
    refusal: (path, call) => {
      if (path === APPEND || path.startsWith(UNGUARDED_PREFIX)) return null
      const mismatch = identity.clusterMismatch(call.field(MetadataKey.clusterId))
      if (!mismatch) return null
      return toGrpcError(grpc.status.FAILED_PRECONDITION, { code: 'E_CLUSTER_MISMATCH', retryable: false, applied: 'no' }, mismatch)
    },
    introduction: (path) => (path.startsWith(UNGUARDED_PREFIX) ? NOBODY : introduction()),
    onEnd: (path, code, tookMs) => {
      if (path !== APPEND) onCall(path, code, tookMs)
    },
  }
}
