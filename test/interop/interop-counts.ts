/** What happened in a scenario; printed in this order. */
export class InteropCounts {
  acked = 0
  unknown = 0
  /** Surely not counted: nobody listened. */
  failed = 0
  /** Acknowledged and not there. */
  lost = 0
  /** Counted more than once, or without having been asked for. */
  doubled = 0
  kills = 0
  /** Of those, of a process of braft. */
  killsBraft = 0
  transfers = 0
  /** To a member of braft. */
  transfersBraft = 0
  wipes = 0
  wipesBraft = 0
  /** Members that were caught up by a snapshot of the other kind. */
  snapshots = 0
  /** Of those, members of braft. */
  snapshotsBraft = 0
  elections = 0
  /** Checks of a command, a client or a step that came out as they should. */
  checks = 0
  /** Entries that all members were found to hold alike. */
  compared = 0

  toString(): string {
    return NAMES.map((name) => `${name}=${this[name]}`).join(' ')
  }
}

export type CountName = { [Name in keyof InteropCounts]: InteropCounts[Name] extends number ? Name : never }[keyof InteropCounts]

const NAMES = Object.keys(new InteropCounts()) as CountName[]

/** The least that must have happened, or a run proved nothing. */
export type Floors = Partial<Record<CountName, number>>

/** What stayed below its floor. */
export function belowFloors(counts: InteropCounts, floors: Floors): string[] {
  return (Object.entries(floors) as [CountName, number][])
    .filter(([name, floor]) => counts[name] < floor)
    .map(([name, floor]) => `${name}=${counts[name]} < ${floor}`)
}

/** Floors that grow with the time; at least one of each. */
export function perMinute(minutes: number, floors: Floors): Floors {
  const grown = Object.entries(floors).map(([name, floor]) => [name, Math.max(1, Math.floor(floor * minutes))])
  return Object.fromEntries(grown) as Floors
}
