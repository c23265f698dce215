/** Position of an entry in a log; the first entry has index 1, 0 means "none". */
export type LogIndex = number & { readonly __logIndex: unique symbol }

/** Election term; 0 means "none". */
export type Term = number & { readonly __term: unique symbol }

/** A point in a log. Compared by term first, as elections do (Raft §5.4.1). */
export interface LogId {
  readonly index: LogIndex
  readonly term: Term
}

export const NO_INDEX = 0 as LogIndex
export const NO_TERM = 0 as Term

export function logIndex(value: number): LogIndex {
  return value as LogIndex
}

export function asTerm(value: number): Term {
  return value as Term
}

/** `index` moved by `count` entries. */
export function plus(index: LogIndex, count: number): LogIndex {
  return (index + count) as LogIndex
}

export function maxIndex(a: LogIndex, b: LogIndex): LogIndex {
  return a > b ? a : b
}

export function minIndex(a: LogIndex, b: LogIndex): LogIndex {
  return a < b ? a : b
}

/** Negative when `a` is less up to date than `b`, 0 when equal. */
export function compareLogId(a: LogId, b: LogId): number {
  return a.term - b.term || a.index - b.index
}

/** A 64-bit protobuf field as a number; indexes, terms and byte counts stay below 2^53. */
export function fromInt64(value: number | { toNumber(): number } | null | undefined): number {
  return typeof value === 'number' ? value : value == null ? 0 : value.toNumber()
}
