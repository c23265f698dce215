import { ErrorCode, Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { NodeOptions } from './node-options.js'
import { NO_TERM, type Term } from './types.js'

/** disabled: not enabled. not-ready: no entry of this term is committed yet. (braft LeaderLeaseStatus) */
export type LeaseState = 'disabled' | 'expired' | 'not-ready' | 'valid'

/** How a lease stands when it is asked for (braft LeaderLeaseStatus). */
export interface LeaderLeaseStatus {
  readonly state: LeaseState
  /** Both only while it is valid. The epoch grows with every leadership, and with every transfer that came to nothing. */
  readonly term: Term | null
  readonly leaseEpoch: number | null
}

/** Why leases cannot be had with these options; null when they can, or are not wanted. */
export function leaseProblem({ leaderLease, electionTimeoutMs = 1000, maxClockDriftMs }: NodeOptions): Status | null {
  const drift = maxClockDriftMs ?? electionTimeoutMs / 10
  if (!leaderLease || (drift > 0 && drift < electionTimeoutMs)) return null
  const problem = `clocks may drift apart by ${drift} ms: more than 0 and less than the election timeout of ${electionTimeoutMs} ms makes a lease`
  return Status.error(ErrorCode.EINVAL, problem)
}

/**
 * The time in which nobody else can have been elected, so that the leader may answer reads without asking (Raft thesis §6.4.1).
 *
 * Whoever acknowledges a request votes for nobody for T after it arrived, by its own clock (stickiness.ts). So the leader holds
 * a lease for T after it *sent* what a quorum has acknowledged, less the drift: by how much two clocks may differ after T.
 * Nothing here runs on a timer: whether the lease is valid is decided when it is asked for, at a time read then.
 *
 * Invariants
 * - T and the drift are those that the node was started with: a later change of the election timeout moves neither.
 * - a term in which the followers were released is without a lease for good, also when the transfer came to nothing.
 * - a clock that was seen to go back is believed no more in this term.
 */
export class LeaderLease {
  readonly isEnabled: boolean
  /** For how long a follower that acknowledges a request votes for nobody. */
  readonly promiseMs: number
  private readonly leaseMs: number
  private epoch = 0
  private forfeited: Term = NO_TERM
  private newestTime = Number.NEGATIVE_INFINITY

  constructor(private readonly node: NodeImpl) {
    const { leaderLease, maxClockDriftMs } = node.options
    this.isEnabled = leaderLease ?? false
    this.promiseMs = node.electionTimeoutMs
    this.leaseMs = node.electionTimeoutMs - (maxClockDriftMs ?? node.electionTimeoutMs / 10)
  }

  get isValid(): boolean {
    return this.state === 'valid'
  }

  get status(): LeaderLeaseStatus {
    const { state } = this
    const isValid = state === 'valid'
    return { state, term: isValid ? this.node.meta.term : null, leaseEpoch: isValid ? this.epoch : null }
  }

  /** The leadership began, or goes on after a transfer that came to nothing. */
  renew(): void {
    this.epoch++
  }

  /** The followers of this leadership may elect another: it holds no lease any more. */
  forfeit(): void {
    this.forfeited = this.node.meta.term
  }

  /** Reads the clock. Called whenever something is sent, so that a clock that goes back by more than a heartbeat is found out. */
  noteTime(now: number): void {
    if (now < this.newestTime && this.isEnabled && this.node.leads()) this.distrust(this.newestTime - now)
    this.newestTime = now
  }

  private distrust(byMs: number): void {
    const { node } = this
    if (this.forfeited === node.meta.term) return
    this.forfeit()
    node.observe({ name: 'clock.went-back', byMs })
  }

  private get state(): LeaseState {
    const { node } = this
    if (!this.isEnabled) return 'disabled'
    if (node.state !== 'LEADER' || node.witness.isOne) return 'expired'
    const now = node.env.clock.now()
    this.noteTime(now)
    if (this.forfeited === node.meta.term) return 'expired'
    if (!node.leaderReady) return 'not-ready'
    const sentAt = node.replicators.quorumValue(node.configuration, now, (replicator) => replicator.promisedSentAt)
    return now < sentAt + this.leaseMs ? 'valid' : 'expired'
  }
}
