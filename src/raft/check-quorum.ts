import type { Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { TimerStatus } from './node-status.js'

/** A leader that a quorum has not answered for T steps down: its clients should ask elsewhere (Raft thesis §6.2). */
export class CheckQuorum {
  private timer: Timer | null = null
  private dueAt = 0

  constructor(private readonly node: NodeImpl) {}

  /** Send time of the newest requests that a quorum has answered. */
  get contactAt(): number {
    const { replicators, configuration, env } = this.node
    return replicators.quorumValue(configuration, env.clock.now(), (replicator) => replicator.lastAckedSentAt)
  }

  start(): void {
    const { env, electionTimeoutMs } = this.node
    this.startFrom(Math.max(this.contactAt, env.clock.now() - electionTimeoutMs))
  }

  /** T was changed: what was sent at the pace of the old one is not measured by the new one. */
  restart(): void {
    this.stop()
    this.startFrom(this.node.env.clock.now())
  }

  stop(): void {
    this.timer?.cancel()
    this.timer = null
  }

  status(): TimerStatus {
    const { env, electionTimeoutMs } = this.node
    return { timeoutMs: electionTimeoutMs, firesInMs: this.timer ? Math.max(0, Math.round(this.dueAt - env.clock.now())) : null }
  }

  private startFrom(contactAt: number): void {
    const { env, electionTimeoutMs } = this.node
    this.dueAt = contactAt + electionTimeoutMs
    this.timer = env.clock.schedule(Math.max(1, this.dueAt - env.clock.now()), () => this.check(), 'stepdown')
  }

  private check(): void {
    const { node } = this
    if (!node.leads()) return
    noteLateness(node, this.dueAt)
    if (node.env.clock.now() - this.contactAt < node.electionTimeoutMs) return this.start()
    // Whoever still hears this leader must not hold its vote back from those who do not.
    node.transfer.releaseFollowers(() => {})
    node.stepDown(node.meta.term, Status.error(ErrorCode.ERAFTTIMEDOUT, 'a quorum has not answered for an election timeout'))
  }
}

/** Says that this process stood still, when a timer that was due then runs only now: whatever it knew of others is old. */
export function noteLateness(node: NodeImpl, dueAt: number): void {
  const forMs = node.env.clock.now() - dueAt
  if (forMs > node.electionTimeoutMs / 2) node.observe({ name: 'node.stood-still', forMs })
}
