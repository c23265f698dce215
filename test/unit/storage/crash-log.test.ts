import { test } from 'uvu'
import type { Done } from '../../../src/raft/closure.js'
import { Status } from '../../../src/raft/errors.js'
import type { EntryBatch } from '../../../src/raft/log-entry.js'
import type { LogRecovery } from '../../../src/raft/storage.js'
import { logIndex, plus } from '../../../src/raft/types.js'
import { checksum } from '../../../src/storage/checksum.js'
import { DurableLength } from '../../../src/storage/durable-length.js'
import { SegmentLogStorage } from '../../../src/storage/log.js'
import { SealFile } from '../../../src/storage/seal-file.js'
import { type CrashCase, checkCrashes, type World } from '../../support/crash-enumerator.js'
import { batch, texts } from '../../support/entries.js'

/** The first index of a log and its entries, as `index:term:data`. */
interface State {
  readonly first: number
  readonly entries: readonly string[]
}

/** One change of the log: what it makes, and what an unanswered one may leave. */
interface Change {
  readonly title: string
  run(log: SegmentLogStorage, done: Done, world: World): void
  makes(before: State): State
  mayLeave(before: State, found: State): boolean
}

const isPrefix = (short: readonly string[], long: readonly string[]) => short.every((entry, i) => entry === long[i])
const same = (a: State, b: State) => JSON.stringify(a) === JSON.stringify(b)

function append(term: number, ...data: string[]): Change {
  const makes = ({ first, entries }: State) => ({
    first,
    entries: [...entries, ...data.map((text, i) => `${first + entries.length + i}:${term}:${text}`)],
  })
  return {
    title: `append ${data.length}`,
    run: (log, done) => log.appendEntries([batch(log.lastLogIndex + 1, term, data)], done),
    makes,
    mayLeave: (before, found) =>
      found.first === before.first && isPrefix(before.entries, found.entries) && isPrefix(found.entries, makes(before).entries),
  }
}

function cutEnd(lastKept: number): Change {
  const makes = ({ first, entries }: State) => ({ first, entries: entries.slice(0, lastKept - first + 1) })
  return {
    title: `truncateSuffix ${lastKept}`,
    run: (log, done) => log.truncateSuffix(logIndex(lastKept), done),
    makes,
    mayLeave: (before, found) =>
      found.first === before.first && isPrefix(makes(before).entries, found.entries) && isPrefix(found.entries, before.entries),
  }
}

function cutStart(firstKept: number): Change {
  const makes = ({ first, entries }: State) => ({ first: firstKept, entries: entries.slice(firstKept - first) })
  return {
    title: `truncatePrefix ${firstKept}`,
    run: (log, done) => log.truncatePrefix(logIndex(firstKept), done),
    makes,
    mayLeave: (before, found) => same(found, before) || same(found, makes(before)),
  }
}

function reset(next: number): Change {
  const makes = () => ({ first: next, entries: [] })
  return {
    title: `reset ${next}`,
    run: (log, done) => log.reset(logIndex(next), done),
    makes,
    mayLeave: (before, found) => same(found, makes()) || (found.first === before.first && isPrefix(found.entries, before.entries)),
  }
}

/** Time passes, and the bound of what is durable is stored. */
const pause: Change = {
  title: 'pause',
  run: (_log, done, world) => {
    world.clock.advance(150)
    done(Status.OK)
  },
  makes: (before) => before,
  mayLeave: (before, found) => same(before, found),
}

function read(log: SegmentLogStorage, world: World): State {
  const entries: string[] = []
  for (let index = log.firstLogIndex; index <= log.lastLogIndex; ) {
    const { status, value } = world.call<EntryBatch>((done) => log.getEntries(index, 1000, done))
    if (!status.ok) throw new Error(status.toString())
    entries.push(...texts(value))
    index = plus(value!.lastIndex, 1)
  }
  return { first: log.firstLogIndex, entries }
}

interface Options {
  readonly maxSegmentBytes?: number
  readonly withoutBound?: boolean
  /** Longer entries, that reach over sectors. */
  readonly size?: number
  /** Power may be lost from the first start on. */
  readonly isNew?: boolean
}

/** A log of segments [1,3] [4,6] [7,9] and an open one with 10 and 11, and the changes that are made of it. */
function logCase(changes: readonly Change[], options: Options = {}): CrashCase<SegmentLogStorage> {
  const { maxSegmentBytes = 60, withoutBound = false, size = 2, isNew = false } = options
  const first = Array.from({ length: isNew ? 0 : 11 }, (_, i) => append(i < 5 ? 1 : 2, `e${i + 1}`.padEnd(size, '.')))
  const start = first.reduce((state: State, change) => change.makes(state), { first: 1, entries: [] })
  const states = [start]
  for (const change of changes) states.push(change.makes(states.at(-1)!))
  const next = append(9, 'next', 'last')
  const prepare = (log: SegmentLogStorage, world: World) => {
    for (const change of first) world.call<void>((done) => change.run(log, done, world))
  }
  return {
    ...(isNew ? {} : { prepare }),
    title: changes.map(({ title }) => title).join(', '),
    open: (world) => {
      const { disk: fileSystem, executor, clock } = world
      const integrity = withoutBound ? null : new DurableLength({ fileSystem, clock, checksum, path: '/data/raftctl/durable' })
      const seals = withoutBound ? null : new SealFile({ fileSystem, checksum, path: '/data/raftctl/seals' })
      const handle = new SegmentLogStorage({ fileSystem, executor, checksum, directory: '/data/log', integrity, seals, maxSegmentBytes })
      return { status: world.call<LogRecovery>((done) => handle.init(done)).status, handle }
    },
    steps: changes.map((change) => (log, done, world) => change.run(log, done, world)),
    read: (log, world) => JSON.stringify(read(log, world)),
    isLegal: (text, answered) => {
      const found = JSON.parse(text) as State
      const change = changes[answered]
      return change ? change.mayLeave(states[answered]!, found) : same(found, states[answered]!)
    },
    next: {
      run: (log, done) => log.appendEntries([batch(log.lastLogIndex + 1, 9, ['next', 'last'])], done),
      makes: (text) => JSON.stringify(next.makes(JSON.parse(text) as State)),
    },
  }
}

test('H07 every state that a power loss may leave of appends, over sectors and over segments', () => {
  const long = append(3, 'a'.padEnd(1500, 'a'), 'b'.padEnd(700, 'b'), 'c')
  const few = append(3, 'a0')
  checkCrashes(
    100,
    logCase([append(3, 'a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8')]),
    logCase([append(3, 'a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8')], { withoutBound: true }),
    logCase([few, pause, append(3, 'b0'), append(4, 'c', 'd', 'e')]),
    logCase([long, long], { maxSegmentBytes: 2000 }),
    logCase([few, long, pause, long], { maxSegmentBytes: 2000, withoutBound: true }),
  )
})

test('H08 every state that a power loss may leave of cutting the end, within a segment and over several', () => {
  const more = append(7, 'x', 'y')
  const cuts = [10, 9, 8, 5, 3, 1, 0]
  checkCrashes(150, ...cuts.flatMap((lastKept) => [logCase([cutEnd(lastKept), more]), logCase([pause, cutEnd(lastKept), more])]))
  checkCrashes(40, ...[8, 5, 0].map((lastKept) => logCase([cutEnd(lastKept), more], { withoutBound: true })))
  checkCrashes(25, ...[10, 9, 7].map((lastKept) => logCase([cutEnd(lastKept), more], { size: 600, maxSegmentBytes: 1800 })))
  checkCrashes(20, logCase([cutEnd(10), more, cutEnd(9), more, cutEnd(4), more]))
})

test('H09 every state that a power loss may leave of cutting the start', () => {
  const more = append(7, 'x', 'y')
  checkCrashes(100, ...[2, 4, 7, 11, 12, 40].map((firstKept) => logCase([cutStart(firstKept), more])))
  checkCrashes(20, logCase([pause, cutStart(5), more, cutEnd(11), cutStart(10), more]))
})

test('every state that a power loss may leave of a reset', () => {
  checkCrashes(80, ...[40, 12, 6, 1].map((first) => logCase([reset(first), append(7, 'x', 'y')])))
  checkCrashes(20, logCase([pause, reset(6), append(7, 'x'), reset(40), append(8, 'y')]))
})

test('every state that a power loss may leave of the first start', () => {
  checkCrashes(20, logCase([append(1, 'a', 'b'), pause], { isNew: true }), logCase([append(1, 'a')], { isNew: true, withoutBound: true }))
})

test.run()
