import type { Counters } from './swarm.js'

/** Per 100 seeds at least this much must have happened, or the run proves nothing. */
export const FLOORS_PER_100_SEEDS: Counters = {
  ops: 20_000,
  acked: 5_000,
  reads: 2_000,
  judged: 20_000,
  elections: 150,
  commits: 2_000,
  crashes: 200,
  torn: 3,
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
  clog: 10,
  stall: 10,
  diskError: 5,
  full: 2,
  transfer: 20,
  snapshots: 500,
  installs: 20,
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
