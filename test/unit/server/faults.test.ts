// The faults of a process: how they end, and what they do to its disk and its clock.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { File, FileSystem } from '../../../src/raft/environment.js'
import { ErrorCode, type Status, Status as Statuses } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { FaultEffect } from '../../../src/rpc/fault-effects.js'
import { Faults } from '../../../src/rpc/faults.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { faultyFileSystem } from '../../../src/server/faulty-file-system.js'
import { SkewedClock } from '../../../src/server/skewed-clock.js'
import { SpaceMonitor } from '../../../src/storage/space-monitor.js'

const n1 = PeerId.parse('127.0.0.1:7001')!
const n2 = PeerId.parse('127.0.0.1:7002')!
const LONG_MS = 60_000

const cut = (direction: 'in' | 'out' | 'both', ...peers: PeerId[]): FaultEffect => ({
  kind: 'cut',
  peers: new Set(peers.map((peer) => peer.toString())),
  direction,
})

/** Settles with what `list` says once it changed; keeps the process alive until then. */
async function nextChange(faults: Faults): Promise<string[]> {
  const alive = setTimeout(() => {}, LONG_MS)
  await new Promise<void>((resolve) => faults.onChange(() => resolve()))
  clearTimeout(alive)
  return faults.list().map((one) => one.id)
}

test('each fault ends at its own time, whoever set it, and one of the same id takes its place', async () => {
  const faults = new Faults(true)
  faults.add('short', cut('both', n1), 5)
  faults.add('long', cut('out', n2), LONG_MS)
  assert.ok(faults.isCut(n1) && faults.isCutTo(n2) && !faults.isCutFrom(n2))
  assert.ok(faults.list().at(-1)!.leftMs > 0)
  assert.equal(await nextChange(faults), ['long'])
  assert.not(faults.isCut(n1))
  faults.add('long', cut('in', n2), LONG_MS)
  assert.equal([faults.isCutTo(n2), faults.isCutFrom(n2)], [false, true])
  faults.remove(['long'])
  assert.equal([faults.isCut(n2), faults.list()], [false, []])
})

test('no fault lasts longer than an hour, and none can be set where they were not enabled', () => {
  const faults = new Faults(true)
  faults.add('endless', cut('both', n1), Number.MAX_SAFE_INTEGER)
  assert.ok(faults.list()[0]!.leftMs <= 3_600_000)
  faults.set({ heal: true })
  assert.equal(faults.list(), [])
  const disabled = new Faults(false)
  disabled.add('one', cut('both', n1), LONG_MS)
  assert.not(disabled.isCut(n1))
})

test('delays add up and vary by their jitter; so many of a hundred messages are lost', () => {
  const draws = [0, 1, 0.5, 0.09, 0.1]
  const faults = new Faults(true, () => draws.shift()!)
  faults.add('delay', { kind: 'delay', peers: new Set([n1.address]), delayMs: 200, jitterMs: 50 }, LONG_MS)
  assert.equal([faults.delayTo(n1), faults.delayTo(n1), faults.delayTo(n1), faults.delayTo(n2)], [150, 250, 200, 0])
  faults.add('drop', { kind: 'drop', peers: new Set(), percent: 10 }, LONG_MS)
  assert.equal([faults.loses(n2), faults.loses(n2)], [true, false])
  faults.remove(['delay', 'drop'])
})

/** A disk that takes everything at once. */
function endlessDisk(executor: EventLoopExecutor): FileSystem {
  const ok = (...rest: unknown[]) => executor.post(() => (rest.at(-1) as (status: Status) => void)(Statuses.OK), 'disk')
  const file = { write: ok, datasync: ok, truncate: ok, close: ok } as unknown as File
  const opened = (_path: string, _options: object, done: (status: Status, file?: File) => void) =>
    executor.post(() => done(Statuses.OK, file), 'disk')
  const statfs: FileSystem['statfs'] = (_path, done) =>
    executor.post(() => done(Statuses.OK, { freeBytes: 1e12, totalBytes: 2e12 }), 'disk')
  return { open: opened, mkdir: ok, link: ok, rename: ok, unlink: ok, remove: ok, syncDir: ok, statfs } as unknown as FileSystem
}

test('a full disk has the space that it was left, says so, and is whole again afterwards', async () => {
  const executor = new EventLoopExecutor()
  const faults = new Faults(true)
  const files = faultyFileSystem(endlessDisk(executor), faults, executor)
  const file = await new Promise<File>((resolve) => files.open('/log', { write: true, create: true }, (_s, one) => resolve(one!)))
  const write = (bytes: number) => new Promise<Status>((resolve) => file.write([Buffer.alloc(bytes)], 0, resolve))
  const free = () => new Promise<number>((resolve) => files.statfs('/', (_s, space) => resolve(space!.freeBytes)))
  assert.is(await free(), 1e12)
  faults.add('full', { kind: 'disk-full', freeBytes: 10_000 }, LONG_MS)
  assert.ok((await write(6000)).ok)
  assert.is(await free(), 4000)
  assert.is((await write(4001)).code, ErrorCode.ENOSPC)
  const made = await new Promise<Status>((resolve) => files.open('/new', { write: true, create: true }, resolve))
  assert.is(made.code, ErrorCode.ENOSPC)
  let space!: SpaceMonitor
  const short = new Promise((resolve) => {
    space = new SpaceMonitor({ fileSystem: files, clock: new SkewedClock(executor, faults), directory: '/', onChange: resolve })
  })
  space.start()
  assert.is(await short, 'short')
  space.stop()
  faults.remove(['full'])
  assert.equal([(await write(1e6)).ok, await free()], [true, 1e12])
})

test('a slow disk answers late, and on the executor', async () => {
  const executor = new EventLoopExecutor()
  const faults = new Faults(true)
  const files = faultyFileSystem(endlessDisk(executor), faults, executor)
  faults.add('slow', { kind: 'slow-disk', delayMs: 30, jitterMs: 0 }, LONG_MS)
  const startedAt = performance.now()
  assert.ok((await new Promise<Status>((resolve) => files.syncDir('/', resolve))).ok)
  assert.ok(performance.now() - startedAt >= 29)
  faults.remove(['slow'])
})

test('a skewed clock jumps ahead once, fires what that makes due, and never goes back', async () => {
  const executor = new EventLoopExecutor()
  const faults = new Faults(true)
  const clock = new SkewedClock(executor, faults)
  const before = clock.now()
  const fired = new Promise<void>((resolve) => clock.schedule(LONG_MS, resolve, 'election'))
  faults.add('skew', { kind: 'skew', aheadMs: 2 * LONG_MS, rate: 1 }, LONG_MS)
  await fired
  const ahead = clock.now()
  assert.ok(ahead - before >= 2 * LONG_MS)
  faults.remove(['skew'])
  assert.ok(clock.now() >= ahead)
  faults.add('fast', { kind: 'skew', aheadMs: 0, rate: 10 }, LONG_MS)
  const startedAt = performance.now()
  await new Promise<void>((resolve) => clock.schedule(1000, resolve, 'late'))
  assert.ok(performance.now() - startedAt < 1000, 'ten times as fast')
  faults.remove(['fast'])
  clock.stop()
})

test.run()
