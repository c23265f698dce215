import type { Status } from '../../src/raft/errors.js'
import { ENGINE_FAILPOINTS, type FailpointName, STORAGE_FAILPOINTS } from '../../src/raft/failpoints.js'
import type { SimMember } from './member.js'

export const STORAGE_POINTS = Object.keys(STORAGE_FAILPOINTS) as FailpointName[]
export const POINTS: readonly FailpointName[] = [...STORAGE_POINTS, ...(Object.keys(ENGINE_FAILPOINTS) as FailpointName[])]

/** What happens to whoever comes to an armed point; a status makes the step fail. */
export type Strike = (member: SimMember) => Status | null

export interface PointCount {
  /** How often some member came by. */
  hits: number
  /** How often it was struck there. */
  strikes: number
}

interface Armed {
  readonly name: FailpointName
  /** Null: whoever comes first. */
  readonly member: SimMember | null
  readonly strike: Strike
}

/** Which named points of the code are armed, for whom, and how often each was passed. An armed point strikes once. */
export class ArmedPoints {
  readonly counts = new Map<FailpointName, PointCount>(POINTS.map((name) => [name, { hits: 0, strikes: 0 }]))
  private armed: readonly Armed[] = []

  get hits(): number {
    return [...this.counts.values()].reduce((sum, { hits }) => sum + hits, 0)
  }

  get strikes(): number {
    return [...this.counts.values()].reduce((sum, { strikes }) => sum + strikes, 0)
  }

  arm(name: FailpointName, member: SimMember | null, strike: Strike): void {
    this.armed = [...this.armed, { name, member, strike }]
  }

  disarm(): void {
    this.armed = []
  }

  /** A member came to that point. */
  hit(name: FailpointName, member: SimMember): Status | null {
    const count = this.counts.get(name)!
    count.hits++
    if (this.armed.length === 0) return null
    const armed = this.armed.find((point) => point.name === name && (point.member === null || point.member === member))
    if (!armed) return null
    this.armed = this.armed.filter((point) => point !== armed)
    count.strikes++
    return armed.strike(member)
  }
}
