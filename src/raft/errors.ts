/**
 * Error numbers of the engine: braft's RaftError and the POSIX numbers (Linux values) that braft puts on the wire.
 * A code is matched by number, never by text.
 */
export const ErrorCode = {
  OK: 0,
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  ENOSPC: 28,
  ERANGE: 34,
  ENODATA: 61,
  ECONNRESET: 104,
  ESHUTDOWN: 108,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  ESTALE: 116,
  ECANCELED: 125,
  /** The peer knows no such call: it is of another kind (brpc). */
  ENOMETHOD: 1002,
  EREQUEST: 1003,
  ERPCTIMEDOUT: 1008,
  EINTERNAL: 2001,
  ERAFTTIMEDOUT: 10001,
  ESTATEMACHINE: 10002,
  ECATCHUP: 10003,
  ELEADERREMOVED: 10004,
  ESETPEER: 10005,
  ENODESHUTDOWN: 10006,
  EHIGHERTERMREQUEST: 10007,
  EHIGHERTERMRESPONSE: 10008,
  EBADNODE: 10009,
  EVOTEFORCANDIDATE: 10010,
  ENEWLEADER: 10011,
  ELEADERCONFLICT: 10012,
  ETRANSFERLEADERSHIP: 10013,
  ELOGDELETED: 10014,
  ENOMOREUSERLOG: 10015,
  EREADONLY: 10016,
  /** raftctl's own: the log or a meta file is damaged. */
  ECORRUPT: 10100,
  /** raftctl's own: this directory lost its past and may not vote before it is rebuilt. */
  EREBUILD: 10101,
  /** raftctl's own: leadership was lost after the task entered the log; it may or may not be committed by a successor. */
  EOUTCOMEUNKNOWN: 10102,
  /** raftctl's own: whoever asks is no member any more, as far as is committed here. */
  EREMOVED: 10103,
} as const

export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode]

const NAMES = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]))

/** The name of a number of ErrorCode; the number itself where it is unknown. */
export function errorName(code: number): string {
  return NAMES.get(code) ?? `E${code}`
}

/** The outcome of an operation. Immutable; `OK` is shared. */
export class Status {
  static readonly OK = new Status(ErrorCode.OK, '')

  constructor(
    readonly code: number,
    readonly message: string,
  ) {}

  /** It went as asked. */
  get ok(): boolean {
    return this.code === ErrorCode.OK
  }

  /** A status of that number, with what people are told. */
  static error(code: ErrorCode, message: string): Status {
    return new Status(code, message)
  }

  /** The name of the number and the message. */
  toString(): string {
    return this.ok ? 'OK' : `${errorName(this.code)}: ${this.message}`
  }
}

/** Where a fatal error came from (braft ErrorType). */
export const ErrorType = { NONE: 0, LOG: 1, STABLE: 2, SNAPSHOT: 3, STATE_MACHINE: 4 } as const
export type ErrorType = (typeof ErrorType)[keyof typeof ErrorType]

/** A fatal error of a node: after it the node is in state ERROR. */
export class RaftError {
  constructor(
    readonly type: ErrorType,
    readonly status: Status,
  ) {}
}

export class AssertionError extends Error {
  override name = 'AssertionError'
}

/** Assertions stay on in production: a broken invariant stops the node instead of damaging the log. */
export function assert(condition: unknown, message: string, context?: object): asserts condition {
  if (!condition) throw new AssertionError(context ? `${message} ${JSON.stringify(context)}` : message)
}
