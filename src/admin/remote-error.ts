import { status as GrpcStatus, type ServiceError } from '@grpc/grpc-js'
import { readErrorDetail } from '../rpc/error-detail.js'
import { CliError, type ErrorCode, isErrorCode } from '../terminal/errors.js'
import { beyondBraft, isBrpcRefusal } from './engines/braft-limits.js'

/** What was asked of whom; decides what a missing answer means. */
export interface RemoteCall {
  readonly endpoint: string
  /** A write whose answer is missing may have been applied; a read may simply be asked again. */
  readonly kind: 'read' | 'write'
  /** How a person finds out what became of a write, such as `raftctl kv get KEY`. */
  readonly check?: string
}

const BY_STATUS: Partial<Record<GrpcStatus, ErrorCode>> = {
  [GrpcStatus.INVALID_ARGUMENT]: 'E_USAGE',
  [GrpcStatus.NOT_FOUND]: 'E_NO_GROUP',
  [GrpcStatus.ALREADY_EXISTS]: 'E_EXISTS',
  [GrpcStatus.OUT_OF_RANGE]: 'E_COMPACTED',
  [GrpcStatus.PERMISSION_DENIED]: 'E_AUTH',
  [GrpcStatus.UNAUTHENTICATED]: 'E_AUTH',
  [GrpcStatus.RESOURCE_EXHAUSTED]: 'E_BUSY',
  [GrpcStatus.UNIMPLEMENTED]: 'E_UNSUPPORTED',
  [GrpcStatus.DATA_LOSS]: 'E_CORRUPT',
}

/** Codes after which no answer came from the machine: the request may be on its way. */
const NO_VERDICT: ReadonlySet<number> = new Set([
  GrpcStatus.UNAVAILABLE,
  GrpcStatus.DEADLINE_EXCEEDED,
  GrpcStatus.CANCELLED,
  GrpcStatus.UNKNOWN,
  GrpcStatus.INTERNAL,
])

/** True when grpc-js never got the request onto a connection. */
export function neverSent(error: ServiceError): boolean {
  return (
    error.code === GrpcStatus.UNAVAILABLE &&
    /^No connection established|^Name resolution failed|^Failed to connect/i.test(error.details ?? '')
  )
}

/** What a node or the transport answered, as an error of the registry. */
export function remoteError(error: ServiceError, call: RemoteCall): CliError {
  const detail = readErrorDetail(error)
  const message = (error.details || error.message).replace(/^etcdserver: /, '')
  const context = { node: call.endpoint, status: GrpcStatus[error.code] ?? String(error.code) }
  if (detail) {
    const details = { ...context, leaderHint: detail.leaderHint ?? null, retryable: detail.retryable, applied: detail.applied }
    if (detail.applied === 'unknown' && detail.code !== 'E_SESSION_EXPIRED') return outcomeUnknown(message, call, details)
    if (isErrorCode(detail.code)) return new CliError(detail.code, message, { details, cause: error })
    return new CliError(BY_STATUS[error.code] ?? 'E_INTERNAL', message, { details: { ...details, serverCode: detail.code }, cause: error })
  }
  if (error.code === GrpcStatus.UNIMPLEMENTED && isBrpcRefusal(error.details)) return beyondBraft(call.endpoint, 'other')
  if (NO_VERDICT.has(error.code)) {
    if (call.kind === 'write' && !neverSent(error)) return outcomeUnknown(message, call, context)
    const stage = 'grpc'
    return new CliError('E_UNREACHABLE', `${call.endpoint}: ${message}`, { details: { ...context, stage }, cause: error })
  }
  return new CliError(BY_STATUS[error.code] ?? 'E_INTERNAL', `${call.endpoint}: ${message}`, { details: context, cause: error })
}

function outcomeUnknown(message: string, call: RemoteCall, details: Readonly<Record<string, unknown>>): CliError {
  return new CliError('E_OUTCOME_UNKNOWN', `no verdict from ${call.endpoint}: ${message}; it may have been applied`, {
    details,
    ...(call.check === undefined ? {} : { hint: `Look before you repeat it:  ${call.check}` }),
  })
}

export function isServiceError(thrown: unknown): thrown is ServiceError {
  if (!(thrown instanceof Error)) return false
  const { code, details } = thrown as Partial<ServiceError>
  return typeof code === 'number' && typeof details === 'string'
}
