import { ErrorCode, Status } from '../../raft/errors.js'
import type { LogIndex } from '../../raft/types.js'
import type { HashDone, StateHash } from '../machine.js'
import { canonicalRecords, type FrozenState } from './canonical.js'
import { type Pace, runSliced } from './slices.js'
import { SnapshotEncoder } from './snapshot-encoder.js'
import type { SnapshotSummary } from './snapshot-format.js'
import { RECORD_COST } from './snapshot-save.js'

/** Marks remembered, hashed or not. */
export const MARKS_KEPT = 8

interface Mark {
  readonly index: LogIndex
  /** Null once it is hashed. */
  state: FrozenState | null
  hash: StateHash | null
  readonly waiters: HashDone[]
}

/**
 * The state at the newest marks in the log. Each mark pins the state of its moment until it is hashed, one mark at a time and
 * in slices.
 */
export class StateHashes {
  private marks: Mark[] = []
  private work: { readonly mark: Mark; cancel(): void } | null = null

  constructor(private readonly pace: Pace) {}

  /** The mark at `index` was applied; owns `state` from now on. */
  add(index: LogIndex, state: FrozenState): void {
    this.marks.push({ index, state, hash: null, waiters: [] })
    while (this.marks.length > MARKS_KEPT) this.drop(this.marks[0] as Mark, unknown(this.marks[0]!.index))
    this.next()
  }

  /** The hash at a mark, as soon as it is there. ENOENT: no such mark was applied here, or too many were since. */
  get(index: LogIndex, done: HashDone): void {
    const mark = this.marks.find((known) => known.index === index)
    if (mark && !mark.hash) mark.waiters.push(done)
    else this.pace.executor.post(() => (mark?.hash ? done(Status.OK, mark.hash) : done(unknown(index))), 'kv-hash')
  }

  /** Forgets every mark; who waits gets `status`. */
  clear(status: Status): void {
    for (const mark of [...this.marks]) this.drop(mark, status)
  }

  private next(): void {
    const mark = this.work === null ? this.marks.find((candidate) => candidate.state !== null) : undefined
    if (!mark) return
    const run = runSliced(this.pace, summarize(mark.state!), (summary) => {
      this.work = null
      this.release(mark)
      mark.hash = { index: mark.index, sha256: summary.sha256, keys: summary.liveKeys }
      for (const done of mark.waiters.splice(0)) done(Status.OK, mark.hash)
      this.next()
    })
    this.work = { mark, cancel: run.cancel }
  }

  private drop(mark: Mark, status: Status): void {
    this.marks = this.marks.filter((other) => other !== mark)
    if (this.work?.mark === mark) {
      this.work.cancel()
      this.work = null
    }
    this.release(mark)
    for (const done of mark.waiters.splice(0)) this.pace.executor.post(() => done(status), 'kv-hash')
  }

  private release(mark: Mark): void {
    mark.state?.store.release()
    mark.state = null
  }
}

/** What a snapshot of this state would hold; yields on the way. */
export function* summarize(state: FrozenState): Generator<number, SnapshotSummary> {
  const encoder = new SnapshotEncoder()
  for (const record of canonicalRecords(state)) {
    const before = encoder.streamBytes
    if (record) encoder.add(record)
    yield RECORD_COST + encoder.streamBytes - before
  }
  return encoder.finish().summary
}

function unknown(index: LogIndex): Status {
  return Status.error(ErrorCode.ENOENT, `no mark at ${index} is remembered here`)
}
