import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { File } from '../../src/raft/environment.js'
import { ErrorCode, Status } from '../../src/raft/errors.js'
import { Scheduler } from '../../src/testing/scheduler.js'
import { SimDisk } from '../../src/testing/sim-disk.js'
import { type DiskProfile, SimFileSystem } from '../../src/testing/sim-file-system.js'
import { SECTOR_BYTES, type SimInode } from '../../src/testing/sim-inode.js'
import { SimProcess } from '../../src/testing/sim-process.js'
import { SimRandom } from '../../src/testing/sim-random.js'

function machine(seed = 1) {
  const scheduler = new Scheduler()
  const random = new SimRandom(seed)
  const disk = new SimDisk(random.fork('crash'))
  const profile: DiskProfile = { operationMs: 1, syncMs: 2, stalledUntil: 0, writeErrorRate: 0, syncErrorRate: 0 }
  const process = new SimProcess(scheduler, 'n1', 1, '10.0.0.1:1', 1, random, { clockRate: 1, timerLatenessMs: 0 })
  const fileSystem = new SimFileSystem(scheduler, process, disk, profile, random.fork('disk'))
  disk.mkdir('/d')
  /** Runs an operation to its end and answers its outcome. */
  const run = (operation: (done: (status: Status) => void) => void): Status => {
    let outcome: Status | null = null
    operation((status) => (outcome = status))
    assert.is(outcome, null, 'completed inside the call')
    while (!outcome && scheduler.step()) {
      // step() does the work
    }
    return outcome ?? Status.error(ErrorCode.EIO, 'never completed')
  }
  const open = (path: string, options: object = { write: true, create: true }): File => {
    let file: File | undefined
    const status = run((done) =>
      fileSystem.open(path, options, (opened, handle) => {
        file = handle
        done(opened)
      }),
    )
    assert.ok(status.ok, status.toString())
    return file!
  }
  const content = (path: string): string | null => {
    const node = disk.lookup(path)
    return node && !node.isDirectory ? node.read(0, node.size).toString() : null
  }
  return { scheduler, disk, profile, process, fileSystem, run, open, content }
}

test('what was synced, name and bytes, survives every crash', () => {
  for (let seed = 0; seed < 50; seed++) {
    const { disk, fileSystem, run, open, content } = machine(seed)
    const file = open('/d/a')
    run((done) => file.write([Buffer.from('abc'), Buffer.from('def')], 0, done))
    run((done) => file.datasync(done))
    run((done) => fileSystem.syncDir('/d', done))
    disk.crash(0)
    assert.is(content('/d/a'), 'abcdef')
  }
})

test('unsynced bytes are lost, kept or torn, and nothing else appears', () => {
  const seen = new Set<string>()
  for (let seed = 0; seed < 200; seed++) {
    const { disk, fileSystem, run, open } = machine(seed)
    const file = open('/d/a')
    run((done) => file.write([Buffer.alloc(SECTOR_BYTES * 2, 'o')], 0, done))
    run((done) => file.datasync(done))
    run((done) => fileSystem.syncDir('/d', done))
    run((done) => file.write([Buffer.alloc(SECTOR_BYTES * 2, 'n')], 0, done))
    disk.crash(0.5)
    const node = disk.lookup('/d/a') as SimInode
    const bytes = node.read(0, node.size)
    assert.is(bytes.length, SECTOR_BYTES * 2)
    const sectors = [bytes.subarray(0, SECTOR_BYTES).toString(), bytes.subarray(SECTOR_BYTES).toString()]
    for (const sector of sectors)
      assert.ok(sector === 'o'.repeat(SECTOR_BYTES) || sector === 'n'.repeat(SECTOR_BYTES), 'a sector was torn within')
    seen.add(sectors.map((sector) => sector[0]).join(''))
  }
  assert.equal([...seen].sort(), ['nn', 'no', 'on', 'oo'])
})

test('a file that grew without a sync has its old size, its new one, or one between', () => {
  const sizes = new Set<number>()
  for (let seed = 0; seed < 100; seed++) {
    const { disk, fileSystem, run, open } = machine(seed)
    const file = open('/d/a')
    run((done) => file.write([Buffer.alloc(100, 1)], 0, done))
    run((done) => file.datasync(done))
    run((done) => fileSystem.syncDir('/d', done))
    run((done) => file.write([Buffer.alloc(1000, 2)], 100, done))
    disk.crash(0.5)
    sizes.add((disk.lookup('/d/a') as SimInode).size)
  }
  assert.ok(sizes.has(100) && sizes.has(1100) && sizes.size > 5, [...sizes].join())
})

test('a synchronous write is durable when it completes, a plain one is not', () => {
  for (const dsync of [true, false]) {
    const { disk, fileSystem, run, open, content } = machine()
    const file = open('/d/a', { write: true, create: true, dsync })
    run((done) => fileSystem.syncDir('/d', done))
    run((done) => file.write([Buffer.from('abc')], 0, done))
    disk.crash(0)
    assert.is(content('/d/a'), dsync ? 'abc' : '')
  }
})

test('a synchronous write does not make a truncation durable', () => {
  const { disk, fileSystem, run, open } = machine()
  const file = open('/d/a', { write: true, create: true, dsync: true })
  run((done) => fileSystem.syncDir('/d', done))
  run((done) => file.write([Buffer.alloc(900, 1)], 0, done))
  run((done) => file.truncate(100, done))
  run((done) => file.write([Buffer.alloc(10, 2)], 100, done))
  disk.crash(0)
  assert.is((disk.lookup('/d/a') as SimInode).size, 900)
})

test('a name without syncDir may be gone, though the file was synced', () => {
  const found = new Set<boolean>()
  for (let seed = 0; seed < 50; seed++) {
    const { disk, run, open } = machine(seed)
    const file = open('/d/a')
    run((done) => file.datasync(done))
    disk.crash(0.5)
    found.add(disk.lookup('/d/a') !== null)
  }
  assert.is(found.size, 2)
})

test('a rename happens as a whole or not at all', () => {
  const found = new Set<string>()
  for (let seed = 0; seed < 50; seed++) {
    const { disk, fileSystem, run, open, content } = machine(seed)
    for (const name of ['/d/a', '/d/a.tmp']) {
      const file = open(name)
      run((done) => file.write([Buffer.from(name)], 0, done))
      run((done) => file.datasync(done))
    }
    run((done) => fileSystem.syncDir('/d', done))
    run((done) => fileSystem.rename('/d/a.tmp', '/d/a', done))
    disk.crash(0.5)
    found.add(`${content('/d/a')} ${content('/d/a.tmp')}`)
  }
  assert.equal([...found].sort(), ['/d/a /d/a.tmp', '/d/a.tmp null'])
})

test('syncDir makes the names of one directory durable, not those of another', () => {
  const { disk, fileSystem, run, open } = machine()
  disk.mkdir('/e')
  open('/d/a')
  open('/e/a')
  run((done) => fileSystem.syncDir('/d', done))
  assert.is(disk.unsyncedNames, 1)
  disk.crash(0)
  assert.ok(disk.lookupDurable('/d/a') !== null)
})

test('names change in the order in which they build on each other', () => {
  const found = new Set<string>()
  for (let seed = 0; seed < 200; seed++) {
    const { disk, fileSystem, run, open } = machine(seed)
    open('/d/a')
    run((done) => fileSystem.syncDir('/d', done))
    run((done) => fileSystem.rename('/d/a', '/d/b', done))
    run((done) => fileSystem.rename('/d/b', '/d/c', done))
    disk.crash(0.5)
    found.add(['a', 'b', 'c'].filter((name) => disk.lookup(`/d/${name}`) !== null).join())
  }
  assert.equal([...found].sort(), ['a', 'b', 'c'])
})

test('a failed sync forgets what was dirty: the next one answers OK and has not written it', () => {
  const { disk, profile, fileSystem, run, open, content } = machine()
  const file = open('/d/a')
  run((done) => fileSystem.syncDir('/d', done))
  run((done) => file.write([Buffer.from('abc')], 0, done))
  profile.syncErrorRate = 1
  assert.is(run((done) => file.datasync(done)).code, ErrorCode.EIO)
  profile.syncErrorRate = 0
  assert.is(content('/d/a'), 'abc')
  assert.ok(run((done) => file.datasync(done)).ok)
  disk.crash(0)
  assert.is.not(content('/d/a'), 'abc')
})

test('a full disk answers ENOSPC and takes writes again when there is room', () => {
  const { disk, run, open } = machine()
  const file = open('/d/a')
  disk.capacityBytes = 10
  assert.is(run((done) => file.write([Buffer.alloc(100)], 0, done)).code, ErrorCode.ENOSPC)
  disk.capacityBytes = Infinity
  assert.ok(run((done) => file.write([Buffer.alloc(100)], 0, done)).ok)
})

test('a write under way when its process is killed is there, there in part, or not', () => {
  const sizes = new Set<number>()
  for (let seed = 0; seed < 60; seed++) {
    const { disk, process, open, scheduler } = machine(seed)
    const file = open('/d/a')
    file.write([Buffer.alloc(5000, 1)], 0, () => assert.unreachable('a dead process was answered'))
    process.die()
    scheduler.runUntil(scheduler.now + 100)
    sizes.add((disk.lookup('/d/a') as SimInode).size)
  }
  assert.ok(sizes.has(0) && sizes.has(5000) && sizes.size > 5, [...sizes].join())
})

test('a stalled disk completes nothing before it goes on', () => {
  const { scheduler, profile, run, open } = machine()
  const file = open('/d/a')
  profile.stalledUntil = scheduler.now + 500
  const until = profile.stalledUntil
  run((done) => file.write([Buffer.from('x')], 0, done))
  assert.ok(scheduler.now >= until)
})

test('errors carry the codes of the port', () => {
  const { fileSystem, run } = machine()
  assert.is(run((done) => fileSystem.open('/d/none', {}, done)).code, ErrorCode.ENOENT)
  assert.is(run((done) => fileSystem.stat('/d/none', done)).code, ErrorCode.ENOENT)
  assert.is(run((done) => fileSystem.unlink('/d/none', done)).code, ErrorCode.ENOENT)
  assert.ok(run((done) => fileSystem.remove('/d/none', done)).ok)
  assert.ok(run((done) => fileSystem.open('/d/x', { write: true, create: true, exclusive: true }, done)).ok)
  assert.is(run((done) => fileSystem.open('/d/x', { write: true, create: true, exclusive: true }, done)).code, ErrorCode.EEXIST)
})

test.run()
