import { hashText } from './sim-random.js'

/** Whose event it is: events of a dead owner never run, those of a paused one wait until it goes on. */
export interface EventOwner {
  readonly id: number
  readonly name: string
  readonly alive: boolean
  readonly paused: boolean
  /** Takes an event whose time has come while the owner stands still. */
  park(event: SimEvent): void
}

/** Something that will run at one moment of virtual time. */
export interface SimEvent {
  /** Virtual milliseconds since the world began. */
  readonly time: number
  readonly seq: number
  readonly owner: EventOwner | null
  readonly label: string
  /** Null once cancelled. */
  fn: (() => void) | null
}

/** Thrown where a process ends in the middle of its own code, to leave that code. */
export class ProcessEnded extends Error {
  override name = 'ProcessEnded'
}

interface TraceLine {
  time: number
  owner: string
  label: string
  detail: string | number
}

const RECORDER_LINES = 2048

/**
 * Virtual time: one heap of (time, seq). Everything in a simulation is an event here, one at a time.
 *
 * Owns the clock, the trace hash over every event that ran (label, owner, time) and every note, and a flight recorder
 * of the last of them. Two runs of the same seed have the same hash, or the simulation is not deterministic.
 */
export class Scheduler {
  /** Virtual milliseconds since the world began. */
  now = 0
  /** Events that ran. */
  executed = 0
  /** Called after every event. */
  afterEvent: (event: SimEvent) => void = () => {}
  /** When set, gets every trace line as text. */
  onTrace: ((line: string) => void) | null = null

  private readonly heap: SimEvent[] = []
  private ready: SimEvent[] = []
  private readyHead = 0
  private seq = 0
  private low = 0x9e3779b9
  private high = 0x85ebca6b
  private readonly labels = new Map<string, number>()
  private readonly recorder: TraceLine[] = []
  private recorded = 0

  /** Runs `fn` after `delayMs` of virtual time. */
  schedule(delayMs: number, owner: EventOwner | null, label: string, fn: () => void): SimEvent {
    return this.scheduleAt(this.now + delayMs, owner, label, fn)
  }

  /** Runs `fn` at that moment. Events of one moment run in the order they were given here. */
  scheduleAt(time: number, owner: EventOwner | null, label: string, fn: () => void): SimEvent {
    const event: SimEvent = { time: Math.max(this.now, time), seq: this.seq++, owner, label, fn }
    this.push(event)
    return event
  }

  /** Runs `fn` at this moment, after everything already due. */
  post(owner: EventOwner | null, label: string, fn: () => void): SimEvent {
    const event: SimEvent = { time: this.now, seq: this.seq++, owner, label, fn }
    this.ready.push(event)
    return event
  }

  /** Runs the next event that is due until then; false when there is none. Those that were cancelled are none. */
  step(until = Infinity): boolean {
    for (;;) {
      if (this.peekTime() > until) return false
      const event = this.next()
      if (!event) return false
      if (event.time > this.now) this.now = event.time
      const { owner, fn } = event
      if (!fn || (owner && !owner.alive)) continue
      if (owner?.paused) {
        owner.park(event)
        continue
      }
      event.fn = null
      this.record(event.label, owner, '')
      this.executed++
      try {
        fn()
      } catch (error) {
        if (!(error instanceof ProcessEnded)) throw error
      }
      this.afterEvent(event)
      return true
    }
  }

  /** Runs everything due until `time`, which is then the present. */
  runUntil(time: number): void {
    while (this.step(time)) {
      // step() does the work
    }
    if (this.now < time) this.now = time
  }

  /** When the next event is due; Infinity when there is none. */
  peekTime(): number {
    const top = this.heap[0]
    if (this.readyHead < this.ready.length) return this.now
    return top ? top.time : Infinity
  }

  /** Adds something that happened inside an event to the trace. */
  note(label: string, owner: EventOwner | null, detail: string | number): void {
    this.record(label, owner, detail)
  }

  /** Of every event and note so far, in hex: the same for the same run. */
  get traceHash(): string {
    return (this.high >>> 0).toString(16).padStart(8, '0') + (this.low >>> 0).toString(16).padStart(8, '0')
  }

  /** The last `count` trace lines, oldest first. */
  tail(count: number): string[] {
    const lines: string[] = []
    for (let i = Math.max(0, this.recorded - Math.min(count, RECORDER_LINES)); i < this.recorded; i++) {
      lines.push(formatLine(this.recorder[i % RECORDER_LINES]!))
    }
    return lines
  }

  private record(label: string, owner: EventOwner | null, detail: string | number): void {
    let hash = this.labels.get(label)
    if (hash === undefined) {
      hash = hashText(label)
      this.labels.set(label, hash)
    }
    const number = typeof detail === 'number' ? detail | 0 : hashText(detail)
    this.low = Math.imul((this.low ^ hash ^ (owner ? owner.id : 0)) + number, 0x9e3779b1)
    this.low ^= this.low >>> 15
    this.high = Math.imul(this.high ^ Math.floor(this.now * 1000) ^ this.low, 0x85ebca77)
    this.high ^= this.high >>> 13
    const slot = this.recorded++ % RECORDER_LINES
    const line = this.recorder[slot]
    if (line) {
      line.time = this.now
      line.owner = owner ? owner.name : ''
      line.label = label
      line.detail = detail
    } else this.recorder[slot] = { time: this.now, owner: owner ? owner.name : '', label, detail }
    if (this.onTrace) this.onTrace(formatLine(this.recorder[slot]!))
  }

  private next(): SimEvent | null {
    const first = this.readyHead < this.ready.length ? this.ready[this.readyHead]! : null
    const top = this.heap[0]
    if (first && !(top && before(top, first))) {
      this.readyHead++
      if (this.readyHead > 1024 && this.readyHead * 2 > this.ready.length) {
        this.ready = this.ready.slice(this.readyHead)
        this.readyHead = 0
      }
      return first
    }
    return top ? this.pop() : null
  }

  private push(event: SimEvent): void {
    const heap = this.heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  private pop(): SimEvent {
    const heap = this.heap
    const top = heap[0]!
    const last = heap.pop()!
    const size = heap.length
    if (size === 0) return top
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= size) break
      if (child + 1 < size && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return top
  }
}

function before(a: SimEvent, b: SimEvent): boolean {
  return a.time < b.time || (a.time === b.time && a.seq < b.seq)
}

function formatLine(line: TraceLine): string {
  const detail = line.detail === '' ? '' : ` ${line.detail}`
  return `${line.time.toFixed(3).padStart(12)} ${line.owner.padEnd(6)} ${line.label}${detail}`
}
