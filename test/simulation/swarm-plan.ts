import { SimRandom } from '../../src/testing/sim-random.js'
import type { ClusterOptions } from './cluster.js'
import { FAULT_KINDS, type FaultKind, toMicros } from './decisions.js'

/** What a run takes place in. With the decisions of a run it makes the whole run. */
export interface World {
  readonly cluster: ClusterOptions
  /** How many groups live on the machines; 1 when it is not said. */
  readonly groups?: number
  /** Length of the phase in which things go wrong. */
  readonly safetyMs: number
  /** Faults begin before the group is founded. */
  readonly hostileStart: boolean
  /** The machine is the key-value store, and clients repeat some of their commands. */
  readonly keyValue: boolean
  /** How many registers or keys clients use. */
  readonly keys: number
  /** How much a snapshot holds besides the state. */
  readonly snapshotBytes: number
  readonly catchupTimeoutMs: number
  /** A member that hears that it is removed stops, as a server would make it; else its process goes on. */
  readonly stopsRemoved: boolean
}

/** What one seed decides before anything runs. */
export interface SwarmPlan {
  readonly seed: number
  readonly world: World
  readonly electionTimeoutMs: number
  /** Between two faults, on average. */
  readonly faultEveryMs: number
  /** How often each kind of fault is drawn; 0 leaves it out. */
  readonly weights: Readonly<Record<FaultKind, number>>
  readonly writeEveryMs: number
  readonly readEveryMs: number
  readonly paddingMax: number
  readonly burstChance: number
  /** All processes are on a machine each; chance that a power loss takes all at once. */
  readonly allAtOnce: number
  readonly administration: AdministrationPlan
}

/** What an administrator does while all this goes on. */
export interface AdministrationPlan {
  /** Between two of its deeds, on average. */
  readonly everyMs: number
  /** How often each is drawn; 0 leaves it out. */
  readonly weights: Readonly<Record<Deed, number>>
}

export type Deed = 'transfer' | 'vote' | 'snapshot' | 'wipe' | 'add' | 'remove' | 'replace' | 'changeMany'

export const DEEDS: readonly Deed[] = ['transfer', 'vote', 'snapshot', 'wipe', 'add', 'remove', 'replace', 'changeMany']

/** One of `kinds`, as often as its weight says; null when nothing has any. */
export function drawWeighted<K extends string>(
  random: SimRandom,
  kinds: readonly K[],
  weights: Readonly<Record<NoInfer<K>, number>>,
): K | null {
  let at = random.unit() * kinds.reduce((sum, kind) => sum + weights[kind], 0)
  for (const kind of kinds) {
    at -= weights[kind]
    if (at < 0 && weights[kind] > 0) return kind
  }
  return null
}

/** Draws a regime: sizes, latencies, rates and which faults take part differ from seed to seed (swarm testing). */
export function planOf(seed: number): SwarmPlan {
  const r = new SimRandom(seed).fork('plan')
  const a = new SimRandom(seed).fork('administration')
  const l = new SimRandom(seed).fork('leases')
  const e = new SimRandom(seed).fork('engine options')
  const w = new SimRandom(seed).fork('witnesses')
  const size = r.pick([3, 3, 3, 3, 5, 5, 5, 1, 2, 4, 7])
  const witnesses =
    size >= 3 && w.chance(0.25) ? w.shuffle(Array.from({ length: size }, (_, i) => i + 1)).slice(0, w.integer(1, size >> 1)) : []
  const electionTimeoutMs = r.pick([200, 500, 1000, 1000, 2000])
  const faults = faultWeightsOf(seed)
  const more = new SimRandom(seed).fork('more')
  // A heartbeat must be able to pass: delays stay well below the election timeout.
  const delayMinMs = r.pick([0.1, 0.1, 1, electionTimeoutMs / 200])
  const delayMeanMs = delayMinMs + r.pick([0.2, 1, electionTimeoutMs / 100, electionTimeoutMs / 30])
  const syncMs = r.pick([0.15, 0.15, 1, 1, 5, electionTimeoutMs / 40])
  const cluster = {
    seed,
    size,
    electionTimeoutMs,
    network: {
      delayMinMs,
      delayMeanMs,
      lossRate: r.chance(0.4) ? r.between(0, 0.3) : 0,
      duplicateRate: r.chance(0.4) ? r.between(0, 0.5) : 0,
      resetRate: r.chance(0.3) ? r.between(0, 0.01) : 0,
      corruptRate: a.chance(0.3) ? 0.05 : 0,
    },
    disk: { operationMs: 0.02, syncMs },
    // A new segment costs three syncs: small ones on a slow disk would never catch up with the writers.
    maxSegmentBytes: syncMs > 1 ? 65536 : r.pick([512, 2048, 8192, 16384, 65536]),
    clockDrift: r.chance(0.5) ? 0.01 : 0,
    timerLatenessMs: r.pick([0, 0.5, 5]),
    joiners: a.pick([0, 0, 1, 2, 3]),
    ...(witnesses.length > 0 ? { witnesses } : {}),
    catchupMargin: a.pick([5, 50, 1000]),
    node: {
      snapshotThrottleBytesPerSecond: more.pick([0, 0, 0, 200_000, 2_000_000]),
      appendCacheSize: e.pick([0, 8]),
      ...(witnesses.length > 0 && w.chance(0.5) ? { witnessToLeader: true } : {}),
      filterBeforeCopyRemote: new SimRandom(seed).fork('copies').chance(0.5),
      // Two clocks at 1 ± 0.01 differ by 2 % of T after T; with clocks that jump there are no leases.
      ...(faults.clockJump === 0 && l.chance(0.4)
        ? { leaderLease: true, maxClockDriftMs: electionTimeoutMs * l.between(0.025, 0.25) }
        : {}),
    },
    clockJumps: faults.clockJump > 0,
    snapshotIntervalMs: a.chance(0.5) ? electionTimeoutMs * a.between(0.5, 10) : 0,
  }
  const groups = new SimRandom(seed).fork('groups').pick([1, 1, 1, 1, 1, 2, 2, 3])
  const world: World = {
    cluster,
    groups,
    safetyMs: toMicros(electionTimeoutMs * r.between(8, 40)),
    hostileStart: r.chance(0.3),
    keyValue: r.chance(0.2),
    keys: r.integer(1, 8),
    snapshotBytes: a.pick([0, 10, 3000, 3000, 200_000]),
    catchupTimeoutMs: toMicros(electionTimeoutMs * a.between(2, 20)),
    // A process goes on as long as any of its members is one.
    stopsRemoved: a.chance(0.7) && groups === 1,
  }
  return {
    seed,
    world,
    electionTimeoutMs,
    faultEveryMs: electionTimeoutMs * r.between(0.2, 3),
    weights: faults,
    // The machines bear the same load, however many groups share it.
    writeEveryMs: (groups * electionTimeoutMs) / r.between(6, 60),
    readEveryMs: (groups * electionTimeoutMs) / r.between(5, 50),
    // One entry per segment and long restarts would test little and cost much.
    paddingMax: Math.min(r.pick([0, 32, 300, syncMs > 1 ? 300 : 3000]), cluster.maxSegmentBytes / 4),
    burstChance: r.pick([0, 0.05, 0.2]),
    allAtOnce: r.pick([0, 0.1, 0.5]),
    administration: administrationOf(a, electionTimeoutMs),
  }
}

/** Kinds that are rarer than others, and in how many of the seeds they take part. */
const SHARES: Partial<Record<FaultKind, number>> = {
  diskError: 0.15,
  full: 0.1,
  space: 0.2,
  readOnly: 0.2,
  clockJump: 0.3,
  power: 1,
  point: 0.6,
}

/** Each kind has a stream of its own: another one more does not change what a seed draws for the others. */
function faultWeightsOf(seed: number): Record<FaultKind, number> {
  const random = new SimRandom(seed).fork('fault kinds')
  const calm = random.chance(0.15)
  const everything = random.chance(0.1)
  const weights = {} as Record<FaultKind, number>
  for (const kind of FAULT_KINDS) {
    const own = random.fork(kind)
    const takesPart = !calm && (own.chance(SHARES[kind] ?? 0.5) || everything)
    weights[kind] = takesPart ? own.between(0.2, 1) : 0
  }
  return { ...weights, point: weights.point * 2 }
}

function administrationOf(a: SimRandom, electionTimeoutMs: number): AdministrationPlan {
  const weights = {} as Record<Deed, number>
  for (const deed of DEEDS) weights[deed] = a.chance(0.6) ? a.between(0.2, 1) : 0
  if (a.chance(0.3)) for (const deed of ['add', 'remove', 'replace', 'changeMany'] as const) weights[deed] = 0
  return { everyMs: electionTimeoutMs * a.between(0.3, 4), weights }
}
