import { ErrorCode, type Status } from '../../src/raft/errors.js'
import type { EntryBatch } from '../../src/raft/log-entry.js'
import { PeerId } from '../../src/raft/peer-id.js'
import type { LogRecovery, NodeIdentity, RaftMeta, SnapshotMeta, SnapshotReader } from '../../src/raft/storage.js'
import { asTerm, plus } from '../../src/raft/types.js'
import { type NodeStorage, openStorage } from '../../src/storage/open-storage.js'
import { World } from '../support/crash-enumerator.js'
import { batch, configuration, members, peer } from '../support/entries.js'
import { SeededRandom } from '../support/fake-environment.js'
import { snapshotMeta } from '../support/snapshot-bench.js'
import { type Image, TraceDisk } from '../support/trace-disk.js'
import type { Decoder, Outcome } from './decoder.js'
import { slotOf } from './decoders-disk.js'

/** A start that finds something wrong says one of these. */
const REFUSALS: ReadonlySet<number> = new Set([ErrorCode.ECORRUPT, ErrorCode.EINVAL, ErrorCode.EIO, ErrorCode.ENOENT])

function open(image: Image): { world: World; storage: NodeStorage } {
  const world = new World((executor) => new TraceDisk(executor, image))
  const { disk: fileSystem, executor, clock } = world
  const options = { directory: '/data', peerId: peer(1), clusterId: null, name: 'n1', maxSegmentBytes: 200 }
  return { world, storage: openStorage({ fileSystem, executor, clock, random: new SeededRandom(1), ...options }) }
}

/** Opens all storages of a directory as a node does, and reads everything; the first that refuses ends it. */
function start(image: Image): Outcome {
  const { world, storage } = open(image)
  const { call } = world
  const refusal = (status: Status): Outcome | null => {
    if (status.ok) return null
    if (!REFUSALS.has(status.code)) throw new Error(`refused with ${status}`)
    return { refused: status.message }
  }
  const log = storage.logStorage
  const steps: (() => Status)[] = [
    () => call<LogRecovery>((done) => log.init(done)).status,
    () => call<RaftMeta>((done) => storage.metaStorage.load(done)).status,
    () => call<NodeIdentity>((done) => storage.identityStorage.load('founding', done)).status,
    () => call<SnapshotMeta | null>((done) => storage.snapshotStorage.init(done)).status,
    () => {
      const { status, value: reader } = call<SnapshotReader>((done) => storage.snapshotStorage.open(done))
      if (!status.ok)
        return status.code === ErrorCode.ENODATA ? call<void>((done) => log.truncatePrefix(log.firstLogIndex, done)).status : status
      return call<void>((done) => storage.snapshotStorage.verify(reader!, done)).status
    },
  ]
  for (const step of steps) {
    const refused = refusal(step())
    if (refused) return refused
  }
  for (let index = log.firstLogIndex; index <= log.lastLogIndex; ) {
    const { status, value } = call<EntryBatch>((done) => log.getEntries(index, 100, done))
    const refused = refusal(status)
    if (refused) return refused
    index = plus(value!.lastIndex, 1)
  }
  // What was accepted can be gone on with.
  const more = batch(log.lastLogIndex + 1, 2 ** 40, ['more'])
  const failed = refusal(call<void>((done) => log.appendEntries([more], done)).status)
  return failed ?? { value: [log.firstLogIndex, log.lastLogIndex] }
}

/** A directory with a log of several segments, a term, an identity and a snapshot, as its files lie there. */
function directory(): ReadonlyMap<string, Buffer> {
  known ??= makeDirectory()
  return known
}

let known: ReadonlyMap<string, Buffer> | null = null

function makeDirectory(): Map<string, Buffer> {
  const { world, storage } = open(new Map([['/data', 'directory']]))
  const { call } = world
  call<LogRecovery>((done) => storage.logStorage.init(done))
  call<RaftMeta>((done) => storage.metaStorage.load(done))
  call<NodeIdentity>((done) => storage.identityStorage.load('founding', done))
  call<SnapshotMeta | null>((done) => storage.snapshotStorage.init(done))
  call<void>((done) => storage.metaStorage.save({ term: asTerm(3), votedFor: peer(2) }, done))
  call<void>((done) => storage.metaStorage.save({ term: asTerm(4), votedFor: PeerId.EMPTY }, done))
  for (let i = 0; i < 6; i++)
    call<void>((done) =>
      storage.logStorage.appendEntries([batch(1 + 3 * i, 1 + i, ['a', configuration(members(1, 2)), 'long'.repeat(9)])], done),
    )
  call<void>((done) =>
    storage.snapshotStorage.create(null, (_status, writer) =>
      world.disk.open(`${writer!.path}/data`, { write: true, create: true }, (_opened, file) =>
        file!.write([Buffer.from('state')], 0, () =>
          file!.close(() => {
            writer!.addFile('data')
            storage.snapshotStorage.commit(writer!, snapshotMeta(6), done)
          }),
        ),
      ),
    ),
  )
  call<void>((done) => storage.logStorage.close(done))
  return filesOf(world.disk)
}

function filesOf(disk: TraceDisk): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  const visit = (path: string): void => {
    const node = disk.lookup(path)
    if (node?.isDirectory) for (const name of node.names.keys()) visit(`${path}/${name}`)
    else if (node) files.set(path, node.content)
  }
  visit('/data')
  return files
}

/** One damaged file in an otherwise good directory: which one, then what is in it. */
const damagedDirectory: Decoder = {
  name: 'data-directory',
  covers: ['src/storage/open-storage.ts openStorage', 'src/storage/raft-meta.ts decodeMetaSlot', 'src/storage/log-recovery.ts findHole'],
  samples: () => [...directory().values()].map((bytes, i) => Buffer.concat([Buffer.from([i]), bytes])),
  run: (bytes) => {
    const files = [...directory()]
    const [path] = files[(bytes[0] ?? 0) % files.length]!
    return start(imageOf(new Map([...files, [path, bytes.subarray(1)]])))
  },
  reseal: (bytes) => {
    const path = [...directory().keys()][(bytes[0] ?? 0) % directory().size]!
    if (!/meta\.[ab]$|durable$/.test(path) || bytes.length < 1 + 20) return bytes
    // A slot of ours whose checksum is right, whatever it says.
    const payload = bytes.subarray(21, Math.min(bytes.length, 21 + 400))
    return Buffer.concat([bytes.subarray(0, 1), slotOf(bytes[1]! + 5, payload)])
  },
}

/** Files that are missing, or lie under another name: which ones, a bit each. */
const otherNames: Decoder = {
  name: 'data-directory-names',
  covers: [],
  samples: () => [Buffer.from([0]), Buffer.from([1, 2, 3]), Buffer.from([9, 1])],
  run: (bytes) => {
    const files = [...directory()]
    const names = files.map(([path]) => path)
    for (let i = 0; i + 1 < bytes.length && i < 8; i += 2) {
      const from = bytes[i]! % names.length
      const to = bytes[i + 1]!
      // Moved to where another one lies, renamed to a segment that cannot be, or gone.
      names[from] =
        to < 100
          ? names[to % names.length]!
          : to < 200
            ? `/data/log/log_${String(to).padStart(20, '0')}_${String(to % 7).padStart(20, '0')}`
            : ''
    }
    return start(imageOf(new Map(files.flatMap(([, content], i): [string, Buffer][] => (names[i] === '' ? [] : [[names[i]!, content]])))))
  },
}

function imageOf(files: ReadonlyMap<string, Buffer>): Image {
  const image = new Map<string, Buffer | 'directory'>()
  for (const [path, bytes] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const parts = path.split('/').slice(1, -1)
    for (let i = 1; i <= parts.length; i++) image.set(`/${parts.slice(0, i).join('/')}`, 'directory')
    image.set(path, bytes)
  }
  return image
}

export const DIRECTORY: readonly Decoder[] = [damagedDirectory, otherNames]
