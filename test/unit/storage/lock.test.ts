import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DirectoryLock, DirectoryLockedError, type LockOwner } from '../../../src/storage/lock.js'

let directory = ''
const lockFile = () => join(directory, 'raftctl', 'LOCK')

test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftctl-lock-'))
  mkdirSync(join(directory, 'raftctl'))
})

test.after.each(() => rmSync(directory, { recursive: true, force: true }))

async function refusal(): Promise<DirectoryLockedError> {
  try {
    await (await DirectoryLock.acquire(directory)).release()
  } catch (error) {
    if (error instanceof DirectoryLockedError) return error
    throw error
  }
  throw new Error('the lock was given')
}

async function isFree(): Promise<boolean> {
  const lock = await DirectoryLock.acquire(directory)
  await lock.release()
  return !existsSync(lockFile())
}

/** What a process of ours would write here. */
async function ownRecord(): Promise<LockOwner> {
  const lock = await DirectoryLock.acquire(directory)
  const owner = JSON.parse(readFileSync(lockFile(), 'utf8')) as LockOwner
  await lock.release()
  return owner
}

test('a directory has one holder, who is named, and is free after', async () => {
  const lock = await DirectoryLock.acquire(directory)
  const refused = await refusal()
  assert.is(refused.owner?.pid, process.pid)
  assert.match(refused.message, `${directory} is in use by process ${process.pid}`)
  await lock.release()
  assert.is(await isFree(), true)
})

test('two directories do not disturb each other', async () => {
  const other = mkdtempSync(join(tmpdir(), 'raftctl-lock-'))
  const [one, two] = await Promise.all([DirectoryLock.acquire(directory), DirectoryLock.acquire(other)])
  await Promise.all([one.release(), two.release()])
  rmSync(other, { recursive: true })
})

test('of many who try at the same time one gets it', async () => {
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => DirectoryLock.acquire(directory)))
  const locks = results.filter((result) => result.status === 'fulfilled').map((result) => result.value)
  assert.is(locks.length, 1)
  await locks[0]!.release()
})

test('another process holds it until it is killed, and leaves a file that does not lock', async () => {
  const module = new URL('../../../src/storage/lock.js', import.meta.url).href
  const script = `const { DirectoryLock } = await import(${JSON.stringify(module)}); await DirectoryLock.acquire(${JSON.stringify(directory)}); console.log('held'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  assert.is((await refusal()).owner?.pid, child.pid)
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.is(existsSync(lockFile()), true)
  assert.is(await isFree(), true)
})

test('a file of a process that runs locks even where no socket tells; a reused pid, a dead one and another boot do not', async () => {
  const self = await ownRecord()
  const write = (owner: Partial<LockOwner>) => writeFileSync(lockFile(), JSON.stringify({ ...self, ...owner }))
  write({})
  assert.is((await refusal()).owner?.pid, process.pid)
  if (self.startTime !== null) {
    write({ startTime: '1' })
    assert.is(await isFree(), true)
    write({ bootId: 'another boot' })
    assert.is(await isFree(), true)
  }
  write({ pid: 0x7ffffff0 })
  assert.is(await isFree(), true)
})

test('a lock file without a name in it is stale where the socket vouches for that', async () => {
  if (process.platform !== 'linux') return
  writeFileSync(lockFile(), '')
  assert.is(await isFree(), true)
})

test('releasing leaves a file that belongs to another', async () => {
  const lock = await DirectoryLock.acquire(directory)
  writeFileSync(lockFile(), '{"pid":1}')
  await lock.release()
  assert.is(readFileSync(lockFile(), 'utf8'), '{"pid":1}')
})

test.run()
