import type { Applied, KvFailure } from './failure.js'

/** How far a call to a member came: the name, the connection, the protocol. */
export type ReachStage = 'dns' | 'tcp' | 'grpc'

/** A key-value call that failed. `code` is one of docs/errors.md. */
export class KvClientError extends Error {
  override name = 'KvClientError'

  constructor(
    readonly code: string,
    message: string,
    readonly detail: { readonly applied: Applied; readonly leaderHint?: string; readonly grpcStatus?: number },
  ) {
    super(message)
  }

  /** Whether the call was applied: yes, no, unknown. */
  get applied(): Applied {
    return this.detail.applied
  }

  /** `host:port` of who leads, where the member that refused knew it. */
  get leaderHint(): string | null {
    return this.detail.leaderHint || null
  }
}

/** The cluster answered and said no. */
export class RefusedError extends KvClientError {
  override name = 'RefusedError'

  constructor(failure: KvFailure) {
    super(failure.code, failure.message, { applied: failure.applied, leaderHint: failure.leaderHint, grpcStatus: failure.status })
  }
}

/** Nothing was sent: no endpoint could be reached, or none answered a read. */
export class UnreachableError extends KvClientError {
  override name = 'UnreachableError'

  constructor(
    readonly endpoint: string,
    readonly stage: ReachStage,
    message: string,
  ) {
    super('E_UNREACHABLE', message, { applied: 'no' })
  }
}

/** A write was sent and its outcome is not known: it may have been applied, or may still be. */
export class OutcomeUnknownError extends KvClientError {
  override name = 'OutcomeUnknownError'

  constructor(message: string, leaderHint = '') {
    super('E_OUTCOME_UNKNOWN', message, { applied: 'unknown', leaderHint })
  }
}
