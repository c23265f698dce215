/** What happened in a run; printed in this order. */
export class ChaosCounts {
  ops = 0
  acked = 0
  unknown = 0
  failed = 0
  reads = 0
  kills = 0
  restarts = 0
  pauses = 0
  cuts = 0
  oneWay = 0
  slow = 0
  resets = 0
  full = 0
  wipes = 0
  transfers = 0
  snapshots = 0
  elections = 0
  /** Acknowledged and not there. */
  lost = 0
  /** Refused as not applied, and there. */
  ghosts = 0

  add(other: ChaosCounts): void {
    for (const name of NAMES) this[name] += other[name]
  }

  toString(): string {
    return NAMES.map((name) => `${name}=${this[name]}`).join(' ')
  }
}

type CountName = { [Name in keyof ChaosCounts]: ChaosCounts[Name] extends number ? Name : never }[keyof ChaosCounts]

const NAMES = Object.keys(new ChaosCounts()) as CountName[]

/** In a minute of chaos at least this much must have happened, or it proved nothing. */
const FLOORS_PER_MINUTE: Partial<Record<CountName, number>> = {
  ops: 400,
  acked: 200,
  reads: 100,
  kills: 3,
  restarts: 1,
  pauses: 2,
  cuts: 2,
  oneWay: 1,
  slow: 1,
  resets: 1,
  full: 1,
  wipes: 1,
  transfers: 2,
  snapshots: 2,
  elections: 5,
}

/** What stayed below its floor */
export function belowFloors(counts: ChaosCounts, minutes: number): string[] {
  return Object.entries(FLOORS_PER_MINUTE)
    .filter(([name, floor]) => counts[name as CountName] < floor * minutes)
    .map(([name, floor]) => `${name}=${counts[name as CountName]} < ${Math.ceil(floor * minutes)}`)
}
