import type { Done } from '../raft/closure.js'
import type { Clock, Executor, Timer } from '../raft/environment.js'
import type { Status } from '../raft/errors.js'
import { NodeManager } from '../rpc/node-manager.js'
import type { EventOwner, Scheduler, SimEvent } from './scheduler.js'
import type { SimRandom } from './sim-random.js'

interface SimTimer {
  readonly label: string
  readonly fire: () => void
  event: SimEvent
}

/**
 * One life of one process: from its start until it is killed or loses power. The next start is another SimProcess.
 *
 * Owns its clock (an own rate and origin, so that code which compares clocks of two processes is found out), its executor
 * and the nodes of the groups it serves. Events of a dead process never run; those of a paused one wait.
 */
export class SimProcess implements EventOwner {
  alive = true
  /** Nothing runs in it now: it is stopped, or waits for its next turn. */
  paused = false
  /** It was asked to stop: nobody asks it anything any more. */
  stopping = false
  /** By SIGSTOP, or its machine. */
  stopped = false
  /** The nodes in it, found by group and peer as in a real process. */
  readonly nodes = new NodeManager()
  readonly clock: Clock
  readonly executor: Executor
  /** Run when this process is gone, however it went. */
  readonly onDeath: (() => void)[] = []
  private parked: SimEvent[] = []
  /** A process without enough of a processor runs once in so many milliseconds; 0: whenever it wants to. */
  private turnEveryMs = 0
  private waitsForTurn = false
  private takesTurns = false
  /** How far its clock jumped since it started. */
  private jumpedMs = 0
  private readonly timers = new Set<SimTimer>()

  constructor(
    private readonly scheduler: Scheduler,
    readonly name: string,
    readonly id: number,
    /** host:port, where others find this process. */
    readonly address: string,
    /** How often its machine had started a process, with this one. */
    readonly incarnation: number,
    random: SimRandom,
    options: { clockRate: number; timerLatenessMs: number; clockJumps?: boolean },
  ) {
    const startedAt = scheduler.now
    const origin = random.between(0, 1e6)
    const { clockRate, timerLatenessMs, clockJumps = false } = options
    this.clock = {
      now: () => origin + (scheduler.now - startedAt) * clockRate + this.jumpedMs,
      schedule: (delayMs, fn, label): Timer => {
        const lateness = timerLatenessMs > 0 ? random.unit() * timerLatenessMs : 0
        if (clockJumps) return this.startTimer(delayMs / clockRate + lateness, fn, label)
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

  /** Something that is due waits until it goes on. */
  get isBehind(): boolean {
    return this.parked.length > 0
  }

  park(event: SimEvent): void {
    this.parked.push(event)
  }

  /** Hands over a completion from outside (disk): now, after the pause, or never. */
  deliver(label: string, done: Done, status: Status): void {
    if (!this.alive) return
    if (this.paused) this.parked.push({ time: this.scheduler.now, seq: 0, owner: this, label, fn: () => done(status) })
    else done(status)
  }

  /** As by SIGSTOP: what is due waits. */
  pause(): void {
    this.stopped = true
    this.paused = true
  }

  /** As by SIGCONT: what waited runs. */
  resume(): void {
    if (!this.stopped) return
    this.stopped = false
    if (!this.waitsForTurn) this.goOn()
  }

  /** Runs from now on only once in so many milliseconds, all that is due; 0: as before. */
  slowDown(turnEveryMs: number): void {
    this.turnEveryMs = turnEveryMs
    if (this.takesTurns || turnEveryMs === 0) return
    this.takesTurns = true
    this.waitForTurn()
  }

  /** The clock jumps forward, as after a machine that was suspended: timers that are due by the new time fire. */
  jump(ms: number): void {
    this.jumpedMs += ms
    for (const timer of this.timers) {
      timer.event.fn = null
      timer.event = this.scheduler.scheduleAt(timer.event.time - ms, this, timer.label, timer.fire)
    }
  }

  private startTimer(delayMs: number, fn: () => void, label: string): Timer {
    const fire = (): void => {
      this.timers.delete(timer)
      fn()
    }
    const timer: SimTimer = { label, fire, event: this.scheduler.schedule(delayMs, this, label, fire) }
    this.timers.add(timer)
    return {
      cancel: () => {
        this.timers.delete(timer)
        timer.event.fn = null
      },
    }
  }

  private waitForTurn(): void {
    this.takesTurns = this.turnEveryMs > 0
    if (!this.takesTurns) return
    this.waitsForTurn = true
    this.paused = true
    this.scheduler.schedule(this.turnEveryMs, null, 'turn', () => {
      this.waitsForTurn = false
      if (!this.alive) return
      if (!this.stopped) this.goOn()
      this.scheduler.post(null, 'turn:over', () => this.waitForTurn())
    })
  }

  private goOn(): void {
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
