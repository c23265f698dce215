import type {
  AppendStream,
  Call,
  Checksum,
  Clock,
  Environment,
  Executor,
  Failpoints,
  Observer,
  Random,
  Timer,
  Transport,
} from '../../src/raft/environment.js'
import { ChecksumType } from '../../src/raft/environment.js'
import type { Status } from '../../src/raft/errors.js'
import type { RaftEvent } from '../../src/raft/events.js'
import { crc32c, murmur32 } from '../../src/storage/checksum.js'

/** Runs what was posted when the test says so, in order. */
export class ManualExecutor implements Executor {
  private readonly queue: { readonly fn: () => void; readonly label: string }[] = []

  post(fn: () => void, label: string): void {
    this.queue.push({ fn, label })
  }

  get labels(): string[] {
    return this.queue.map((event) => event.label)
  }

  /** Runs the oldest event; false when there was none. */
  runOne(): boolean {
    const event = this.queue.shift()
    event?.fn()
    return event !== undefined
  }

  /** Runs until nothing is left and answers how many events ran; more than `limit` is a loop and throws. */
  run(limit = 100_000): number {
    let count = 0
    while (this.runOne()) if (++count > limit) throw new Error(`still busy after ${limit} events: ${this.labels.slice(0, 5)}`)
    return count
  }
}

interface ManualTimer extends Timer {
  readonly at: number
  readonly seq: number
  readonly fn: () => void
  readonly label: string
}

/** Time that stands still until `advance`. */
export class ManualClock implements Clock {
  private time = 0
  private seq = 0
  private timers: ManualTimer[] = []

  constructor(private readonly executor: ManualExecutor) {}

  now(): number {
    return this.time
  }

  /** Labels of the timers that will fire, soonest first. */
  get scheduled(): string[] {
    return this.sorted().map((timer) => timer.label)
  }

  schedule(delayMs: number, fn: () => void, label: string): Timer {
    const timer: ManualTimer = { at: this.time + delayMs, seq: this.seq++, fn, label, cancel: () => this.drop(timer) }
    this.timers.push(timer)
    return timer
  }

  /** Lets time pass; each timer that comes due runs on the executor, with all that follows from it, at its own time. */
  advance(ms: number): void {
    const until = this.time + ms
    for (let next = this.sorted()[0]; next && next.at <= until; next = this.sorted()[0]) {
      this.time = Math.max(this.time, next.at)
      this.drop(next)
      this.executor.post(next.fn, next.label)
      this.executor.run()
    }
    this.time = until
    this.executor.run()
  }

  /** The process stands still for that long: what came due meanwhile is posted all at once, late. */
  stall(ms: number): void {
    this.time += ms
    for (const timer of this.sorted().filter(({ at }) => at <= this.time)) {
      this.executor.post(() => {
        if (!this.timers.includes(timer)) return
        this.drop(timer)
        timer.fn()
      }, timer.label)
    }
  }

  private sorted(): ManualTimer[] {
    return [...this.timers].sort((a, b) => a.at - b.at || a.seq - b.seq)
  }

  private drop(timer: ManualTimer): void {
    this.timers = this.timers.filter((other) => other !== timer)
  }
}

/** A small seeded generator (mulberry32). */
export class SeededRandom implements Random {
  private state: number

  constructor(seed: number) {
    this.state = seed >>> 0
  }

  u32(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let z = this.state
    z = Math.imul(z ^ (z >>> 15), z | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return (z ^ (z >>> 14)) >>> 0
  }

  unit(): number {
    return this.u32() / 2 ** 32
  }

  below(n: number): number {
    return Math.floor(this.unit() * n)
  }

  chance(p: number): boolean {
    return this.unit() < p
  }

  hex(bytes: number): string {
    return Array.from({ length: bytes }, () => this.below(256).toString(16).padStart(2, '0')).join('')
  }

  fork(label: string): Random {
    return new SeededRandom(murmur32(Buffer.from(`${this.state}/${label}`)))
  }
}

export const checksum: Checksum = { crc32c, murmur32, ofEntries: ChecksumType.CRC32C }

class RecordingObserver implements Observer {
  readonly events: RaftEvent[] = []

  event(event: RaftEvent): void {
    this.events.push(event)
  }
}

/** A transport for parts that may not talk to anybody. */
const silent: Transport = {
  call: (): Call => {
    throw new Error('this part called a peer')
  },
  openAppendStream: (): AppendStream => {
    throw new Error('this part opened a stream')
  },
  dial: () => {
    throw new Error('this part dialled a peer')
  },
}

/** An environment without a world: nothing happens unless the test makes it happen. */
export class FakeEnvironment implements Environment {
  readonly executor = new ManualExecutor()
  readonly clock = new ManualClock(this.executor)
  readonly random: SeededRandom
  readonly checksum = checksum
  readonly observer = new RecordingObserver()
  readonly transport: Transport
  /** Answers of named failpoints; a test sets them. */
  readonly failures = new Map<string, Status>()
  readonly failpoints: Failpoints = { hit: (name) => this.failures.get(name) ?? null }

  constructor(options: { seed?: number; transport?: Transport } = {}) {
    this.random = new SeededRandom(options.seed ?? 1)
    this.transport = options.transport ?? silent
  }

  /** What was observed under a name, in order. */
  events<N extends RaftEvent['name']>(name: N): Extract<RaftEvent, { name: N }>[] {
    return this.observer.events.filter((event): event is Extract<RaftEvent, { name: N }> => event.name === name)
  }
}
