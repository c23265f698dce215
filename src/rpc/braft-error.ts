import { status as GrpcStatus } from '@grpc/grpc-js'
import { ErrorCode, Status } from '../raft/errors.js'

/** brpc's own error numbers, as they appear on the wire. */
export const BrpcCode = {
  ENOSERVICE: 1001,
  ENOMETHOD: 1002,
  EREQUEST: 1003,
  ERPCAUTH: 1004,
  ERPCTIMEDOUT: 1008,
  EFAILEDSOCKET: 1009,
  EOVERCROWDED: 1011,
  EEOF: 1014,
  EINTERNAL: 2001,
  ERESPONSE: 2002,
  ELOGOFF: 2003,
  ELIMIT: 2004,
} as const

/** The gRPC status that brpc answers for an error number. */
export function grpcStatusOf(code: number): GrpcStatus {
  switch (code) {
    case ErrorCode.OK:
      return GrpcStatus.OK
    case BrpcCode.ENOSERVICE:
    case BrpcCode.ENOMETHOD:
      return GrpcStatus.UNIMPLEMENTED
    case BrpcCode.ERPCAUTH:
      return GrpcStatus.UNAUTHENTICATED
    case BrpcCode.EREQUEST:
    case ErrorCode.EINVAL:
      return GrpcStatus.INVALID_ARGUMENT
    case BrpcCode.ELIMIT:
      return GrpcStatus.RESOURCE_EXHAUSTED
    case BrpcCode.ELOGOFF:
      return GrpcStatus.UNAVAILABLE
    case ErrorCode.EPERM:
      return GrpcStatus.PERMISSION_DENIED
    case BrpcCode.ERPCTIMEDOUT:
      return GrpcStatus.DEADLINE_EXCEEDED
    case ErrorCode.ECANCELED:
      return GrpcStatus.CANCELLED
    default:
      return GrpcStatus.INTERNAL
  }
}

/** The HTTP status that brpc answers for an error number. */
export function httpStatusOf(code: number): number {
  switch (code) {
    case ErrorCode.OK:
      return 200
    case BrpcCode.ENOSERVICE:
    case BrpcCode.ENOMETHOD:
      return 404
    case BrpcCode.ERPCAUTH:
      return 401
    case BrpcCode.EREQUEST:
    case ErrorCode.EINVAL:
      return 400
    case BrpcCode.ELIMIT:
    case BrpcCode.ELOGOFF:
      return 503
    case ErrorCode.EPERM:
      return 403
    case BrpcCode.ERPCTIMEDOUT:
    case ErrorCode.ETIMEDOUT:
      return 504
    default:
      return 500
  }
}

/** A handler's error text as brpc sends it: `[server][E<code>]text`. Clients match the number, never the text. */
export function decorate(status: Status, serverAddress: string): string {
  return `[${serverAddress}][E${status.code}]${status.message}`
}

/** What the handler said, without what `decorate` and brpc's clients (`[E<code>]`, `[R<n>]`) put before it. */
export function undecorated(text: string): string {
  return text.replace(/^(?:\[[ER]-?\d+\]|\[[^\][]*:\d+\](?=\[E))+/, '')
}

/** How a failed call reads to the engine: the peer's own words, and one number for each way to lose a connection or an answer. */
export function plainStatus(status: Status): Status {
  if (status.code === BrpcCode.EEOF || status.code === BrpcCode.EFAILEDSOCKET) return Status.error(ErrorCode.ECONNRESET, status.message)
  if (status.code === BrpcCode.ERPCTIMEDOUT) return Status.error(ErrorCode.ETIMEDOUT, status.message)
  return new Status(status.code, undecorated(status.message))
}

/** No raftctl node answers so to its own service. */
export function isUnknownService({ code }: Status): boolean {
  return code === BrpcCode.ENOSERVICE || code === BrpcCode.ENOMETHOD
}

/** The error number inside a decorated text (all that gRPC leaves of it); null when there is none. */
export function codeInText(text: string): number | null {
  const match = /\[E(-?\d+)\]/.exec(text)
  return match ? Number(match[1]) : null
}
