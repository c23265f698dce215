import * as assert from 'uvu/assert'
import type { Done } from '../../src/raft/closure.js'
import type { Status } from '../../src/raft/errors.js'
import { crashImages, describeImage, keyOf } from './crash-states.js'
import { ManualClock, ManualExecutor, SeededRandom } from './fake-environment.js'
import { type Image, TraceDisk } from './trace-disk.js'

/** A process that was just started on a machine: nothing of it is left from before but the disk. */
export class World {
  readonly executor = new ManualExecutor()
  readonly clock = new ManualClock(this.executor)
  readonly disk: TraceDisk

  constructor(disk: (executor: ManualExecutor) => TraceDisk) {
    this.disk = disk(this.executor)
  }

  /** Runs a call and all that follows from it. */
  readonly call = <T>(run: (done: (status: Status, value?: T) => void) => void): { status: Status; value: T | undefined } => {
    const answers: { status: Status; value: T | undefined }[] = []
    run((status, value) => answers.push({ status, value }))
    this.executor.run()
    if (answers.length !== 1) throw new Error(`answered ${answers.length} times`)
    return answers[0]!
  }
}

/** A change on disk of several steps, and what may be found of it after a loss of power at any moment. Handle: a storage that was opened. */
export interface CrashCase<Handle> {
  readonly title: string
  /** A start of the process over whatever the disk holds. */
  open(world: World): { readonly status: Status; readonly handle: Handle }
  /** From a new disk to where the change begins; absent: power may be lost from the first start on. */
  prepare?(handle: Handle, world: World): void
  /** Each begins when the one before was answered. */
  readonly steps: readonly ((handle: Handle, done: Done, world: World) => void)[]
  /** Everything that was found, as a text that tells all that matters. */
  read(handle: Handle, world: World): string
  /** Whether a start may find this when so many of the steps had been answered. */
  isLegal(found: string, answered: number): boolean
  /** Work that goes on after a recovery, and what is then found. */
  readonly next?: { run(handle: Handle, done: Done, world: World): void; makes(found: string): string }
}

interface Enumerated {
  /** Moments at which power was lost. */
  points: number
  /** States of the disk that were started from, no two alike at the same moment of the change. */
  states: number
  /** Starts on a machine whose process was killed at such a moment, each followed by every loss of power. */
  kills: number
  /** Losses of power during and after a recovery. */
  again: number
}

/** So many states at most for one moment, unless all are asked for. */
const LIMIT = 4096
const LIMIT_AGAIN = 24

/**
 * Loses power at every moment of a change, in every way, and starts again from what is left: each start must succeed and find
 * what is legal then, and what it found must be there after any further loss of power, as must what is done next.
 *
 * Prints how many states that were, and fails when they are fewer than `statesMin`: then it looks at nothing.
 */
export function checkCrashes<Handle>(statesMin: number, ...cases: readonly CrashCase<Handle>[]): void {
  const total: Enumerated = { points: 0, states: 0, kills: 0, again: 0 }
  for (const subject of cases) {
    const found = new Enumeration(subject).run()
    for (const key of Object.keys(total) as (keyof Enumerated)[]) total[key] += found[key]
  }
  const { states, points, kills, again } = total
  console.log(
    `  ${cases.length} changes: ${states} states of the disk at ${points} moments, ${kills} kills, ${again} further losses of power`,
  )
  assert.ok(states >= statesMin, `${states} states are fewer than the ${statesMin} that there were once`)
}

class Enumeration<Handle> {
  private readonly count: Enumerated = { points: 0, states: 0, kills: 0, again: 0 }
  private readonly seen = new Set<string>()
  private readonly seenAgain = new Set<string>()
  private readonly random = new SeededRandom(1)
  private answered = 0

  constructor(private readonly subject: CrashCase<Handle>) {}

  run(): Enumerated {
    const { subject } = this
    // The directory of all data is there: whoever makes it makes its name durable.
    const world = worldOf(new Map([['/data', 'directory']]))
    const watch = () => {
      world.disk.onPoint = () => this.losePower(world.disk)
    }
    if (!subject.prepare) watch()
    const { status, handle } = subject.open(world)
    if (!status.ok) throw new Error(`${subject.title}: a new disk was refused: ${status}`)
    subject.prepare?.(handle, world)
    watch()
    for (const step of subject.steps) {
      const { status: answer } = world.call<void>((done) => step(handle, (stepped) => this.note(stepped, done, world.disk), world))
      if (!answer.ok) throw new Error(`${subject.title}: step ${this.answered} failed: ${answer}`)
    }
    return this.count
  }

  private note(status: Status, done: Done, disk: TraceDisk): void {
    this.answered++
    this.losePower(disk)
    done(status)
  }

  private losePower(disk: TraceDisk): void {
    this.count.points++
    const how = `${this.subject.title}: power lost after operation ${disk.operations.length} (${disk.operations.at(-1)}), ${this.answered} answered`
    for (const image of crashImages(disk, LIMIT, this.random)) {
      if (!isNew(this.seen, `${this.answered} ${keyOf(image)}`)) continue
      this.count.states++
      this.recover(worldOf(image), `${how}, left ${describeImage(image)}`)
    }
    this.count.kills++
    this.recover(new World((executor) => disk.clone(executor)), `${how.replace('power lost', 'killed')}`)
  }

  /** A start, with a loss of power at every moment of it and after it. */
  private recover(world: World, how: string): void {
    const { disk } = world
    disk.onPoint = () => {
      for (const image of this.fewImages(disk))
        this.startAgain(image, null, `${how}, and again during the start (${disk.operations.at(-1)})`)
    }
    const { handle, found } = this.start(world, null, how)
    disk.onPoint = null
    for (const image of this.fewImages(disk)) this.startAgain(image, found, `${how}, and again after the start`)
    const { next } = this.subject
    if (!next) return
    const { status } = world.call<void>((done) => next.run(handle, done, world))
    if (!status.ok) throw new Error(`${how}: what came next failed: ${status}`)
    for (const image of this.fewImages(disk)) this.startAgain(image, next.makes(found), `${how}, and again after what came next`)
  }

  private startAgain(image: Image, expected: string | null, how: string): void {
    // Where the same is expected of the same disk, that was seen.
    if (!isNew(this.seenAgain, `${expected ?? this.answered} ${keyOf(image)}`)) return
    this.count.again++
    this.start(worldOf(image), expected, `${how}, left ${describeImage(image)}`)
  }

  /** Expects what is legal now, or exactly that. */
  private start(world: World, expected: string | null, how: string): { handle: Handle; found: string } {
    const { subject, answered } = this
    const { status, handle } = subject.open(world)
    if (!status.ok) throw new Error(`${how}: refused: ${status}`)
    const found = this.read(handle, world, how)
    const isRight = expected === null ? subject.isLegal(found, answered) : found === expected
    if (!isRight) throw new Error(`${how}: found ${found}${expected === null ? '' : `, not ${expected}`}`)
    return { handle, found }
  }

  private read(handle: Handle, world: World, how: string): string {
    try {
      return this.subject.read(handle, world)
    } catch (error) {
      throw new Error(`${how}: ${(error as Error).message}`)
    }
  }

  private fewImages(disk: TraceDisk): Iterable<Image> {
    return crashImages(disk, LIMIT_AGAIN, this.random)
  }
}

function isNew(seen: Set<string>, key: string): boolean {
  const before = seen.size
  return seen.add(key).size > before
}

function worldOf(image: Image): World {
  return new World((executor) => new TraceDisk(executor, image))
}
