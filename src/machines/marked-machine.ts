import { createHash } from 'node:crypto'
import type { Configuration } from '../raft/configuration.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { StateMachine } from '../raft/raft.js'
import type { LogIndex } from '../raft/types.js'
import { type Pace, runSliced } from './kv/slices.js'
import type { ComparableMachine, HashDone } from './machine.js'

const MARKS_KEPT = 8

/** The bytes that stand for a state, the same on every member that holds the same; what they are made of is frozen. */
export interface CanonicalState {
  readonly keys: number
  /** Each at most some 64 KiB. */
  readonly pieces: () => Iterator<Uint8Array>
}

/**
 * A machine whose state members compare although its log holds nothing but its own commands: a mark is a committed
 * configuration, which every member is told of at the same place in the log. The newest are remembered, and hashed when
 * somebody asks.
 */
export abstract class MarkedMachine extends StateMachine implements ComparableMachine {
  private readonly marks = new Map<LogIndex, CanonicalState>()

  constructor(private readonly pace: Pace) {
    super()
  }

  /** The state as it is now, whatever is applied later. */
  protected abstract canonical(): CanonicalState
  abstract spoil(): boolean

  override onConfigurationCommitted(_configuration: Configuration, index: LogIndex): void {
    this.marks.set(index, this.canonical())
    const [oldest] = this.marks.keys()
    if (this.marks.size > MARKS_KEPT) this.marks.delete(oldest!)
  }

  hashAt(index: LogIndex, done: HashDone): void {
    const state = this.marks.get(index)
    if (!state) return done(Status.error(ErrorCode.ENOENT, `no mark at ${index} is remembered here`))
    runSliced(this.pace, hashing(state), (sha256) => done(Status.OK, { index, sha256, keys: state.keys }))
  }
}

function* hashing(state: CanonicalState): Generator<number, string> {
  const hash = createHash('sha256')
  const pieces = state.pieces()
  for (let next = pieces.next(); !next.done; next = pieces.next()) {
    hash.update(next.value)
    yield next.value.length
  }
  return hash.digest('hex')
}
