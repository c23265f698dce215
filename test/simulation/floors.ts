import type { PointCount } from './armed-points.js'
import type { Counters } from './swarm.js'

/** Per 100 seeds at least this much must have happened, or the run proves nothing. */
export const FLOORS_PER_100_SEEDS: Counters = {
  ops: 20_000,
  groups: 120,
  acked: 5_000,
  reads: 2_000,
  judged: 20_000,
  leaseReads: 500,
  elections: 150,
  witnesses: 8,
  witnessCommits: 50,
  commits: 2_000,
  crashes: 200,
  torn: 2,
  names: 3,
  restarts: 300,
  kills: 10,
  power: 100,
  kill: 10,
  shutdown: 10,
  pause: 10,
  isolate: 10,
  split: 10,
  bridge: 10,
  oneWay: 10,
  swizzle: 10,
  slow: 10,
  clockJump: 10,
  point: 100,
  points: 20_000,
  strikes: 50,
  midSnapshot: 2,
  midInstall: 1,
  midJoint: 1,
  space: 5,
  shortLeaders: 1,
  readOnly: 5,
  clog: 10,
  stall: 10,
  diskError: 5,
  full: 2,
  readError: 20,
  slowDisk: 20,
  rot: 8,
  misdirected: 5,
  stale: 10,
  found: 10,
  replaced: 10,
  transfer: 20,
  vote: 10,
  snapshots: 500,
  installs: 10,
  wipe: 40,
  rebuilt: 40,
  changes: 40,
  joints: 10,
  removed: 30,
  lost: 100,
  duplicated: 20,
}

/** The counters that stayed below their floor for that many seeds. */
export function belowFloors(totals: Counters, seeds: number): string[] {
  return Object.entries(FLOORS_PER_100_SEEDS)
    .filter(([name, floor]) => (totals[name] ?? 0) < (floor * seeds) / 100)
    .map(([name, floor]) => `${name}=${totals[name] ?? 0} < ${Math.ceil((floor * seeds) / 100)}`)
}

/** From this many seeds on every named point must have been reached, and somebody struck there. */
const SEEDS_FOR_POINTS = 300

/** A log whose stale end reaches beyond the snapshot that replaces it: a story brings it about (scenario/points). */
const LEFT_TO_STORIES: ReadonlySet<string> = new Set(['log.reset-emptied'])

/** The named points of the code that so many seeds did not reach, or where they struck nobody. */
export function missedPoints(points: ReadonlyMap<string, PointCount>, seeds: number): string[] {
  if (seeds < SEEDS_FOR_POINTS) return []
  return [...points]
    .filter(([name, { strikes }]) => strikes === 0 && !LEFT_TO_STORIES.has(name))
    .map(([name, { hits }]) => `${name} reached ${hits} times, struck never`)
}
