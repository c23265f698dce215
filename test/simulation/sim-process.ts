import type { Clock, Executor, Timer } from '../../src/raft/environment.js'
import type { PeerHandler } from '../../src/raft/messages.js'
import type { EventOwner, Scheduler, SimEvent } from './scheduler.js'
import type { SimRandom } from './sim-random.js'

/**
 * One life of one process: from its start until it is killed or loses power. The next start is another SimProcess.
 *
 * Owns its clock (an own rate and origin, so that code which compares clocks of two processes is found out), its executor
 * and the handlers of the groups it serves. Events of a dead process never run; those of a paused one wait.
 */
export class SimProcess implements EventOwner {
  alive = true
  paused = false
  readonly handlers = new Map<string, PeerHandler>()
  readonly clock: Clock
  readonly executor: Executor
  /** Run when this process is gone, however it went. */
  readonly onDeath: (() => void)[] = []
  private parked: SimEvent[] = []

  constructor(
    private readonly scheduler: Scheduler,
    readonly name: string,
    readonly id: number,
    /** host:port, where others find this process. */
    readonly address: string,
    readonly incarnation: number,
    random: SimRandom,
    options: { clockRate: number; timerLatenessMs: number },
  ) {
    const startedAt = scheduler.now
    const origin = random.between(0, 1e6)
    const { clockRate, timerLatenessMs } = options
    this.clock = {
      now: () => origin + (scheduler.now - startedAt) * clockRate,
      schedule: (delayMs, fn, label): Timer => {
        const lateness = timerLatenessMs > 0 ? random.unit() * timerLatenessMs : 0
        const event = scheduler.schedule(delayMs / clockRate + lateness, this, label, fn)
        return {
          cancel: () => {
            event.fn = null
          },
        }
      },
    }
    this.executor = { post: (fn, label) => void scheduler.post(this, label, fn) }
  }

  park(event: SimEvent): void {
    this.parked.push(event)
  }

  /** Hands over a completion from outside (disk): now, after the pause, or never. */
  deliver(label: string, fn: () => void): void {
    if (!this.alive) return
    if (this.paused) this.parked.push({ time: this.scheduler.now, seq: 0, owner: this, label, fn })
    else fn()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    const parked = this.parked
    this.parked = []
    for (const event of parked) this.scheduler.post(this, event.label, () => event.fn?.())
  }

  /** The process is gone. What it had asked of the disk and the network is settled by those. */
  die(): void {
    this.alive = false
    this.parked = []
    for (const fn of this.onDeath.splice(0)) fn()
  }
}
