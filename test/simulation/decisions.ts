import type { FailpointName } from '../../src/raft/failpoints.js'

/** A member by its name, or `leader`: whoever leads when the time comes. */
export type Who = string

/** What happens at a named point: power loss, kill, failure of the step, or the process stands still. */
export type StrikeKind = 'power' | 'kill' | 'fail' | 'pause'

/**
 * Everything that can be done to a cluster from outside, by kind. Times are in milliseconds; `forMs` says after how long
 * it is undone: the process starts again or goes on, the link passes again, the disk works again.
 */
export interface Acts {
  // ---- faults ----
  power: { who: Who; keep: number; poweredOn: boolean; forMs: number }
  kill: { who: Who; forMs: number }
  /** Asks the process to stop, and starts it again `forMs` after it did. */
  shutdown: { who: Who; forMs: number }
  pause: { who: Who; forMs: number }
  /** The process gets a processor only once in `turnMs`. */
  slow: { who: Who; turnMs: number; forMs: number }
  /** Its monotonic clock jumps forward by that much. */
  clockJump: { who: Who; byMs: number }
  /** Who comes to that named point of the code first is struck there: `who` is a member, or `any`. */
  point: { who: Who; name: FailpointName; strike: StrikeKind; keep: number; forMs: number }
  /** Cut off from everybody. */
  isolate: { who: Who; forMs: number }
  /** Nothing passes between the two sides; whoever is on neither hears both. */
  split: { one: readonly Who[]; other: readonly Who[]; forMs: number }
  bridge: { one: readonly Who[]; other: readonly Who[]; forMs: number }
  /** Nothing passes in that direction. */
  oneWay: { from: readonly Who[]; to: readonly Who[]; forMs: number }
  /** One of several links that stop one after the other, and pass again in another order. */
  swizzle: { from: readonly Who[]; to: readonly Who[]; forMs: number }
  clog: { who: Who; towards: Who; forMs: number }
  stall: { who: Who; forMs: number }
  diskError: { who: Who; writes: number; syncs: number; forMs: number }
  /** The disk takes that many bytes more. */
  full: { who: Who; bytes: number; forMs: number }
  /** The node is told that its disk runs short. */
  space: { who: Who; forMs: number }
  /** The node is put into read-only mode. */
  readOnly: { who: Who; forMs: number }
  readError: { who: Who; reads: number; forMs: number }
  /** Its disk takes so many times as long. */
  slowDisk: { who: Who; times: number; forMs: number }
  /** What lies on its disk is damaged; `draw` says where and how. The disk is replaced `forMs` later when nobody notices before. */
  rot: { who: Who; draw: number; forMs: number }
  misdirected: { who: Who; draw: number; forMs: number }
  stale: { who: Who; draw: number; forMs: number }
  // ---- what administrators do ----
  /** Without a target the leader chooses. */
  transfer: { who: Who; target?: Who }
  /** Has a follower campaign now. */
  vote: { who: Who }
  snapshot: { who: Who }
  wipe: { who: Who; forMs: number }
  change: { who: Who; members: readonly Who[] }
  // ---- what clients do ----
  /** A write of the key-value machine says its `sequence`, any other the `bytes` of its padding. */
  write: { who: Who; key: number; bytes?: number; sequence?: number }
  read: { who: Who; key: number }
}

export type Kind = keyof Acts

export type Act = { readonly [K in Kind]: { readonly kind: K } & Readonly<Acts[K]> }[Kind]

/** Without a group the first one is meant. */
type Addressed = Act & { readonly group?: string }

/** Something to be done later than it was decided. */
export type Drawn = Addressed & { readonly afterMs?: number }

/** Something that was decided, and when: enough to do it again. */
export type Decision = Addressed & { readonly at: number }

export const FAULT_KINDS = [
  'power',
  'kill',
  'shutdown',
  'pause',
  'slow',
  'clockJump',
  'point',
  'isolate',
  'split',
  'bridge',
  'oneWay',
  'swizzle',
  'clog',
  'stall',
  'diskError',
  'full',
  'space',
  'readOnly',
  'readError',
  'slowDisk',
  'rot',
  'misdirected',
  'stale',
] as const satisfies readonly Kind[]

export type FaultKind = (typeof FAULT_KINDS)[number]

export const DEED_KINDS = ['transfer', 'vote', 'snapshot', 'wipe', 'change'] as const satisfies readonly Kind[]
const CALL_KINDS = ['write', 'read'] as const satisfies readonly Kind[]
export const KINDS: readonly Kind[] = [...FAULT_KINDS, ...DEED_KINDS, ...CALL_KINDS]

/** Fields that name several members. */
const LISTS = new Set(['one', 'other', 'from', 'to', 'members'])
const NUMBER = /^-?\d+(\.\d+)?(e-?\d+)?$/

/** Moments and lengths are kept to a microsecond, so that what is printed is what happened. */
export function toMicros(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

/** One line: `1240.5 power n2 keep=0.5 poweredOn=false forMs=300`. */
export function formatDecision(decision: Decision): string {
  const { at, kind, ...rest } = decision
  const words = Object.entries(rest)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => (name === 'who' ? String(value) : `${name}=${value}`))
  return [at, kind, ...words].join(' ')
}

/** Reads a line of formatDecision; throws on anything else. */
export function parseDecision(line: string): Decision {
  const [at, kind, ...words] = line.trim().split(/\s+/)
  if (!NUMBER.test(at ?? '') || !(KINDS as readonly string[]).includes(kind ?? '')) throw new Error(`not a decision: ${line}`)
  const fields: Record<string, unknown> = { at: Number(at), kind }
  for (const word of words) {
    const equals = word.indexOf('=')
    if (equals < 0) fields['who'] = word
    else fields[word.slice(0, equals)] = parseValue(word.slice(0, equals), word.slice(equals + 1))
  }
  return fields as unknown as Decision
}

function parseValue(name: string, text: string): unknown {
  if (LISTS.has(name)) return text === '' ? [] : text.split(',')
  if (NUMBER.test(text)) return Number(text)
  return text === 'true' ? true : text === 'false' ? false : text
}
