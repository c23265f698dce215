import { test } from 'uvu'
import type { Done } from '../../../src/raft/closure.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { formatChecksum } from '../../../src/raft/snapshot-checksum.js'
import type { SnapshotMeta, SnapshotReader, SnapshotWriter } from '../../../src/raft/storage.js'
import { checksum } from '../../../src/storage/checksum.js'
import { LocalSnapshotStorage } from '../../../src/storage/snapshot.js'
import { SnapshotSeal } from '../../../src/storage/snapshot-seal.js'
import { inSequence } from '../../../src/storage/steps.js'
import { type CrashCase, checkCrashes, type World } from '../../support/crash-enumerator.js'
import { snapshotMeta } from '../../support/snapshot-bench.js'

const DIRECTORY = '/data/snapshot'

interface Opened {
  readonly storage: LocalSnapshotStorage
  readonly newest: SnapshotMeta | null | undefined
  readonly world: World
  /** Held over several steps. */
  writer?: SnapshotWriter
  reader?: SnapshotReader
}

type Step = (opened: Opened, done: Done) => void

/** Writes a file where the machine would: nothing of it is durable. */
function write(path: string, text: string, options: { sync?: boolean } = {}): Step {
  return ({ world: { disk } }, done) =>
    disk.mkdir(path.slice(0, path.lastIndexOf('/')), (made) => {
      if (!made.ok) return done(made)
      disk.open(path, { write: true, create: true, truncate: true }, (opened, file) => {
        if (!opened.ok) return done(opened)
        inSequence(
          [
            (next) => file!.write([Buffer.from(text)], 0, next),
            (next) => (options.sync ? file!.datasync(next) : next(Status.OK)),
            (next) => file!.close(next),
          ],
          done,
        )
      })
    })
}

/** From 1000 on the table stays as it is. */
function filesOf(index: number): Record<string, string> {
  return { data: `data of ${index} `.repeat(80), 'sub/more/table': `table of ${Math.min(index, 1000)}` }
}

/** Saves a snapshot as the executor does it. */
function save(index: number): Step {
  return (opened, done) => {
    const { storage } = opened
    storage.create(null, (status, writer) => {
      if (!status.ok) return done(status)
      const files = Object.entries(filesOf(index))
      inSequence(
        [
          ...files.map(
            ([name, text]) =>
              (next: Done) =>
                write(`${writer!.path}/${name}`, text)(opened, next),
          ),
          (next) => next(files.map(([name]) => writer!.addFile(name)).find((added) => !added.ok) ?? Status.OK),
          (next) => storage.commit(writer!, snapshotMeta(index), next),
        ],
        done,
      )
    })
  }
}

/** A copy from another member: what is complete is checkpointed, what an earlier one had completed is kept. */
const copySteps = (index: number): Step[] => [
  (opened, done) =>
    opened.storage.create(snapshotMeta(index), (status, writer) => {
      if (writer) opened.writer = writer
      done(status)
    }),
  ...Object.entries(filesOf(index)).flatMap(([name, text]): Step[] => [
    (opened, done) => write(`${opened.writer!.path}/${name}`, text, { sync: true })(opened, done),
    (opened, done) => {
      const { storage, writer } = opened
      writer!.addFile(name, { checksum: formatChecksum(checksum.crc32c(Buffer.from(text))), size: text.length })
      storage.checkpoint(writer!, snapshotMeta(index), done)
    },
  ]),
  ({ storage, writer }, done) => storage.commit(writer!, snapshotMeta(index), done),
]

/** Such a copy that finds the table in the last snapshot. */
function linkSteps(index: number): Step[] {
  const steps = copySteps(index)
  const text = filesOf(index)['sub/more/table']!
  const link: Step = ({ storage, writer }, done) => {
    const expected = { checksum: formatChecksum(checksum.crc32c(Buffer.from(text))), size: text.length }
    storage.reuse(writer!, 'sub/more/table', expected, (status, meta) => {
      if (status.ok && meta) writer!.addFile('sub/more/table', meta)
      done(status.ok && !meta ? Status.error(ErrorCode.ENOENT, 'it was not linked') : status)
    })
  }
  return [...steps.slice(0, 3), link, ...steps.slice(4)]
}

/** The newest snapshot, every file of it checked. */
function read({ storage, world, newest }: Opened): string {
  if (!newest) return 'none'
  const { index } = newest.lastIncluded
  const { value: reader } = world.call<SnapshotReader>((done) => storage.open(done))
  const { status } = world.call<void>((done) => storage.verify(reader!, done))
  if (!status.ok) throw new Error(status.toString())
  if (JSON.stringify(reader!.files()) !== JSON.stringify(Object.keys(filesOf(index)))) throw new Error(`${index} holds ${reader!.files()}`)
  reader!.close()
  return `${index}`
}

/** After a start nothing is left but the newest, and a copy that can be gone on with. */
function expectNoRests({ world: { disk }, newest }: Opened): void {
  const names = [...(disk.lookup(DIRECTORY) as { names: Map<string, unknown> }).names.keys()].filter(
    (name) => name !== 'temp' && name !== 'copy',
  )
  const expected = newest ? [`snapshot_${String(newest.lastIncluded.index).padStart(20, '0')}`] : []
  if (JSON.stringify(names) !== JSON.stringify(expected)) throw new Error(`left ${names}`)
}

/** What a copy that goes on after this start would keep is whole. */
function expectWholeCopy(opened: Opened, index: number): void {
  const { storage, world } = opened
  const { value: writer } = world.call<SnapshotWriter>((done) => storage.create(snapshotMeta(index), done))
  for (const name of writer!.files()) {
    const node = world.disk.lookup(`${writer!.path}/${name}`)
    const text = node && !node.isDirectory ? node.content.toString() : 'nothing'
    if (text !== filesOf(index)[name]) throw new Error(`the copy counts ${name} as complete, which holds ${text.slice(0, 20)}`)
  }
}

function snapshotCase(title: string, options: { from: number | null; to: number; steps: readonly Step[] }): CrashCase<Opened> {
  const { from, to, steps } = options
  const isCopy = steps.length > 3
  return {
    title,
    open: (world) => {
      const { disk: fileSystem, executor, call } = world
      const seal = new SnapshotSeal({ fileSystem, checksum, path: '/data/raftctl/snapshot.seal' })
      const storage = new LocalSnapshotStorage({ fileSystem, executor, checksum, directory: DIRECTORY, seal })
      const { status, value: newest } = call<SnapshotMeta | null>((done) => storage.init(done))
      const handle = { storage, newest, world }
      if (status.ok) expectNoRests(handle)
      return { status, handle }
    },
    ...(from === null ? {} : { prepare: (opened, { call }) => void call<void>((done) => save(from)(opened, done)) }),
    steps,
    read: (opened) => {
      if (isCopy && opened.newest?.lastIncluded.index !== to) expectWholeCopy(opened, to)
      return read(opened)
    },
    isLegal: (found, answered) => found === `${to}` || (answered < steps.length && found === `${from ?? 'none'}`),
    next: { run: (opened, done) => save(2000)(opened, done), makes: () => '2000' },
  }
}

test('every state that a power loss may leave of saving a snapshot: the old one or the new one, whole', () => {
  checkCrashes(
    100,
    snapshotCase('the first', { from: null, to: 5, steps: [save(5)] }),
    snapshotCase('the next', { from: 3, to: 5, steps: [save(5)] }),
  )
})

test('every state that a power loss may leave while the replaced snapshot is still read', () => {
  const open: Step = (opened, done) =>
    opened.storage.open((status, reader) => {
      if (reader) opened.reader = reader
      done(status)
    })
  const close: Step = ({ reader, world }, done) => {
    reader!.close()
    world.executor.post(() => done(Status.OK), 'closed')
  }
  const { isLegal, ...rest } = snapshotCase('read meanwhile', { from: 3, to: 5, steps: [open, save(5), close] })
  checkCrashes(50, { ...rest, isLegal: (found, answered) => (answered < 2 ? isLegal(found, answered) : found === '5') })
})

test('every state that a power loss may leave of a copy: what counts as complete is', () => {
  checkCrashes(
    100,
    snapshotCase('the first copy', { from: null, to: 7, steps: copySteps(7) }),
    snapshotCase('a newer copy', { from: 3, to: 7, steps: copySteps(7) }),
  )
})

test('every state that a power loss may leave of a copy that links a file of the last snapshot', () => {
  checkCrashes(75, snapshotCase('a linked table', { from: 1000, to: 1005, steps: linkSteps(1005) }))
})

test.run()
