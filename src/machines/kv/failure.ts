/** gRPC status codes that the key-value machine uses; its answers are part of the replicated state. */
export const GrpcStatus = {
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const

/** Whether the request may have taken effect. */
export type Applied = 'yes' | 'no' | 'unknown'

/** Why a request was refused: by the machine (the same on every member) or by the member that took the call. */
export class KvFailure {
  constructor(
    readonly status: number,
    /** A code of docs/errors.md. */
    readonly code: string,
    readonly message: string,
    readonly applied: Applied = 'no',
    /** Sending the same request again may succeed, and cannot apply it twice. */
    readonly retryable = false,
    readonly leaderHint = '',
  ) {}
}

const invalid = (message: string) => new KvFailure(GrpcStatus.INVALID_ARGUMENT, 'E_USAGE', message)

// etcd's clients recognise these by their text (api/v3/v3rpc/rpctypes/error.go).
export const EMPTY_KEY = invalid('etcdserver: key is not provided')
export const KEY_NOT_FOUND = invalid('etcdserver: key not found')
export const VALUE_PROVIDED = invalid('etcdserver: value is provided')
export const LEASE_PROVIDED = invalid('etcdserver: lease is provided')
export const TOO_MANY_OPERATIONS = invalid('etcdserver: too many operations in txn request')
export const DUPLICATE_KEY = invalid('etcdserver: duplicate key given in txn request')
export const INVALID_SORT = invalid('etcdserver: invalid sort option')
export const TOO_LARGE = new KvFailure(GrpcStatus.INVALID_ARGUMENT, 'E_TOO_LARGE', 'etcdserver: request is too large')
export const LEASE_NOT_FOUND = new KvFailure(GrpcStatus.NOT_FOUND, 'E_NO_LEASE', 'etcdserver: requested lease not found')
export const COMPACTED = new KvFailure(GrpcStatus.OUT_OF_RANGE, 'E_COMPACTED', 'etcdserver: mvcc: required revision has been compacted')
export const FUTURE_REVISION = new KvFailure(
  GrpcStatus.OUT_OF_RANGE,
  'E_FUTURE_REVISION',
  'etcdserver: mvcc: required revision is a future revision',
)
