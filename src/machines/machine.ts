import type { Status } from '../raft/errors.js'
import type { StateMachine } from '../raft/raft.js'
import type { LogIndex } from '../raft/types.js'

/** The machines that a node can run a group with: the key-value store, and those of braft's examples. */
export const MACHINES = ['kv', 'counter', 'atomic', 'block'] as const
export type MachineKind = (typeof MACHINES)[number]

export function machineKindOf(text: string): MachineKind | null {
  return MACHINES.find((kind) => kind === text) ?? null
}

/** A command of a state machine in words. */
export interface CommandText {
  /** put, add, exchange, … */
  readonly operation: string
  /** One line without control characters. */
  readonly summary: string
  /** Wall clock of the leader that proposed it; null where the command carries none. */
  readonly timeMs: number | null
}

/** What the state of a machine was at a mark in the log. */
export interface StateHash {
  readonly index: LogIndex
  /** In hex; equal on every member that holds the same state. */
  readonly sha256: string
  /** Keys, ids or pages that the state has. */
  readonly keys: number
}

export type HashDone = (status: Status, hash?: StateHash) => void

/** What a machine offers besides applying commands: its state can be compared, and spoilt on purpose. */
export interface ComparableMachine extends StateMachine {
  /** ENOENT: no such mark was applied here, or too many were since. */
  hashAt(index: LogIndex, done: HashDone): void
  /** Test fault: silently changes this member's state; false when there is nothing to change. */
  spoil(): boolean
}

/** A machine as a node hosts it, with what it is served by. */
export interface HostedMachine {
  readonly kind: MachineKind
  readonly stateMachine: ComparableMachine
  /** Of the key-value store; null for others. */
  readonly revision: number | null
  /** On the clock: when this member, as leader, last acknowledged a write; null before the first. */
  readonly lastAcknowledgedAt: number | null
  /** Puts a mark into the log: every member remembers its state there. */
  mark(done: (status: Status, index?: LogIndex) => void): void
  /** The node has stopped: `done` once what was passed on to the leader is answered, or the time is over. */
  drain(timeoutMs: number, done: () => void): void
  /** Answers everything that is left; nothing is taken any more. */
  close(): void
}
