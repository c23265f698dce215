import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openDataDirectory } from '../../../src/admin/data-directory.js'
import type { Finding } from '../../../src/admin/data-findings.js'
import { inspectDirectory } from '../../../src/admin/data-inspect.js'
import { readDirectoryLog } from '../../../src/admin/data-log.js'
import { settledLook, type Verification, verifyDirectory } from '../../../src/admin/data-verify.js'
import { decoderOf } from '../../../src/admin/entry-decoders.js'
import { EVERYTHING } from '../../../src/admin/entry-summary.js'
import { BLOCK_BYTES } from '../../../src/machines/kv/snapshot-format.js'
import { Configuration, ConfigurationEntry } from '../../../src/raft/configuration.js'
import type { Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { checksum, crc32c } from '../../../src/storage/checksum.js'
import { DirectoryLock } from '../../../src/storage/lock.js'
import { NodeFileSystem } from '../../../src/storage/node-file-system.js'
import { decodeFramed, frame } from '../../../src/storage/protobuf-file.js'
import { FileChangedError } from '../../../src/storage/segment-file.js'
import { SNAPSHOT_LIST_CODEC } from '../../../src/storage/snapshot-list.js'
import { SnapshotSeal } from '../../../src/storage/snapshot-seal.js'
import { BRAFT_NODES, DataDirectories, ENTRY_BYTES, everyFile, flip, LAST_INDEX, putSnapshot } from '../../support/data-directories.js'
import { b, encode } from '../kv/commands.js'
import { applyNext, newMachine } from '../kv/fakes.js'
import { snapshotOf } from '../kv/snapshot-files.js'

const directories = new DataDirectories()
test.after(() => directories.remove())

const PEER = new PeerId('127.0.0.1', 7009)

async function verify(path: string): Promise<Verification> {
  return await verifyDirectory(await openDataDirectory(path, null))
}

/** `severity kind file@offset #index` of each finding. */
async function found(path: string): Promise<string[]> {
  return (await verify(path)).findings.map((finding) => placeOf(finding, path))
}

function placeOf({ severity, kind, file, offset, index }: Finding, path: string): string {
  return `${severity} ${kind} ${file.slice(path.length + 1)}@${offset ?? '-'} #${index ?? '-'}`
}

function segments(path: string): string[] {
  return readdirSync(join(path, 'log'))
    .filter((name) => name !== 'log_meta')
    .sort((a, b) => Number(a.includes('inprogress')) - Number(b.includes('inprogress')) || (a < b ? -1 : 1))
    .map((name) => `log/${name}`)
}

const openOf = (path: string) => segments(path).at(-1)!
/** First index of a segment, by its name. */
const firstOf = (name: string) => Number(/\d{20}/.exec(name)![0])

test('every directory that braft left is sound, and reading it changes nothing', async () => {
  for (const node of BRAFT_NODES) {
    const path = directories.braft(node)
    const before = everyFile(path)
    const verified = await verify(path)
    assert.equal(verified.findings, [], node)
    assert.is(verified.verdict, 'ok')
    assert.is(verified.kind, 'braft')
    assert.ok(verified.checked.entries > 0)
    const view = await inspectDirectory(await openDataDirectory(path, null))
    assert.is(view.groups[0]!.term, node === 'n2' ? 2 : 3)
    assert.equal(everyFile(path), before)
  }
})

test('a log with the other checksum is as sound, and mixed ones too', async () => {
  const murmur = directories.braft('n0', 'murmur32')
  assert.equal(await found(murmur), [])
  const mixed = directories.braft('n0')
  const name = 'log/log_00000000000000000038_00000000000000000068'
  const at = entryOffsets(join(mixed, name))[7]!
  const first = readFileSync(join(mixed, name)).subarray(0, at)
  writeFileSync(join(mixed, name), Buffer.concat([first, readFileSync(join(murmur, name)).subarray(at)]))
  assert.equal(await found(mixed), [])
})

test('what braft wrote reads as its journal says: values, terms, joint configurations', async () => {
  const directory = await openDataDirectory(directories.braft('n0'), null)
  const options = { filter: EVERYTHING, hex: true, decode: decoderOf('counter', null) }
  const whole = await readDirectoryLog(directory, { from: 1, to: null, last: 20, ...options })
  assert.equal([whole.entries.length, whole.firstIndex, whole.lastIndex], [82, 1, 82])
  assert.equal([whole.entries[81]!.operation, whole.entries[81]!.summary, whole.entries[81]!.term], ['add', '3', 3])
  assert.match(whole.entries[61]!.summary, 'joint, from 127.0.0.1:8500 127.0.0.1:8501 127.0.0.1:8502')
  const newest = await readDirectoryLog(directory, { from: null, to: null, last: 3, ...options })
  assert.equal(newest.entries, whole.entries.slice(-3))
  const middle = await readDirectoryLog(directory, { from: 30, to: 75, last: 20, ...options })
  assert.equal(middle.entries, whole.entries.slice(29, 75))
  const configurations = { ...options, filter: { ...EVERYTHING, types: new Set(['configuration' as const]) } }
  const newestTwo = await readDirectoryLog(directory, { from: null, to: null, last: 2, ...configurations })
  assert.equal(
    newestTwo.entries.map((entry) => entry.index),
    [63, 69],
  )
})

test('a flipped byte in a log of braft is found in its file, at its entry: header and data, sealed and open, either checksum', async () => {
  for (const [name, firstIndex, sums] of [
    ['log/log_00000000000000000038_00000000000000000068', 38, 'crc32c'],
    ['log/log_00000000000000000038_00000000000000000068', 38, 'murmur32'],
    ['log/log_inprogress_00000000000000000069', 69, 'crc32c'],
    ['log/log_inprogress_00000000000000000069', 69, 'murmur32'],
  ] as const) {
    const entries = entryOffsets(join(directories.braft('n0', sums), name))
    for (const at of [0, 1, 3, entries.length - 2]) {
      for (const inEntry of [5, 9, 20, 24]) {
        const path = directories.braft('n0', sums)
        flip(join(path, name), entries[at]! + inEntry)
        const expected = `damage bad-entry ${name}@${entries[at]} #${firstIndex + at}`
        assert.equal(await found(path), [expected], `byte ${inEntry} of entry ${firstIndex + at}`)
      }
    }
  }
})

/** Where each entry starts, read by hand. */
function entryOffsets(path: string): number[] {
  const bytes = readFileSync(path)
  const offsets: number[] = []
  for (let at = 0; at < bytes.length; at += 24 + bytes.readUInt32BE(at + 12)) offsets.push(at)
  return offsets
}

test('a directory of ours is sound; a flipped byte is found in every entry of sealed and open segments', async () => {
  const whole = directories.raftctl()
  assert.equal(await found(whole), [])
  assert.is((await verify(whole)).checked.entries, LAST_INDEX)
  for (const name of [segments(whole)[1]!, openOf(whole)]) {
    for (const at of [0, 2]) {
      for (const inEntry of [0, 12, 23, 24, ENTRY_BYTES - 1]) {
        const path = directories.raftctl()
        flip(join(path, name), at * ENTRY_BYTES + inEntry)
        assert.equal(await found(path), [`damage bad-entry ${name}@${at * ENTRY_BYTES} #${firstOf(name) + at}`])
      }
    }
  }
})

test('the half-written end of a write is a torn tail, not damage; a start would cut it', async () => {
  const path = directories.raftctl()
  const open = join(path, openOf(path))
  const length = readFileSync(open).length
  appendFileSync(open, readFileSync(open).subarray(0, 30))
  const { verdict, findings } = await verify(path)
  assert.is(verdict, 'torn')
  assert.equal(
    findings.map((finding) => placeOf(finding, path)),
    [`torn bad-entry ${openOf(path)}@${length} #${LAST_INDEX + 1}`],
  )
  assert.match(findings[0]!.meaning, 'nothing in it was ever acknowledged')
  const log = await readDirectoryLog(await openDataDirectory(path, null), {
    from: null,
    to: null,
    last: 2,
    filter: EVERYTHING,
    hex: false,
    decode: null,
  })
  assert.equal([log.lastIndex, log.entries.length, log.findings.length], [LAST_INDEX, 2, 1])
})

test('more behind a bad entry than a synchronous write leaves is damage, and says what a log that was synced late needs', async () => {
  const path = directories.raftctl()
  appendFileSync(join(path, openOf(path)), Buffer.alloc(3 * 1024 * 1024))
  const { verdict, findings } = await verify(path)
  assert.is(verdict, 'damaged')
  assert.match(findings[0]!.meaning, 'more than one write. Where it ran with --unsafe-sync')
  const rotten = directories.raftctl()
  flip(join(rotten, openOf(rotten)), 12)
  const [finding] = (await verify(rotten)).findings
  assert.is(finding!.severity, 'damage')
  assert.not.match(finding!.meaning, 'unsafe-sync')
})

test('a zero tail is said to be one: ours cuts it, braft does not start on it', async () => {
  const ours = directories.raftctl()
  appendFileSync(join(ours, openOf(ours)), Buffer.alloc(100))
  assert.match((await verify(ours)).findings[0]!.problem, 'nothing but zeros')
  assert.is((await verify(ours)).verdict, 'torn')
  const braft = directories.braft('n0')
  appendFileSync(join(braft, openOf(braft)), Buffer.alloc(100))
  assert.match((await verify(braft)).findings[0]!.problem, 'nothing but zeros')
  assert.is((await verify(braft)).verdict, 'damaged')
})

test('entries that were durable and are gone are damage, however cleanly they went', async () => {
  const path = directories.raftctl()
  const open = openOf(path)
  const length = readFileSync(join(path, open)).length
  truncateSync(join(path, open), length - ENTRY_BYTES)
  assert.equal(await found(path), [`damage lost-entries ${open}@${length - ENTRY_BYTES} #${LAST_INDEX}`])
  truncateSync(join(path, open), length - ENTRY_BYTES - 7)
  assert.equal(await found(path), [`damage bad-entry ${open}@${length - 2 * ENTRY_BYTES} #${LAST_INDEX - 1}`])
})

test('a missing segment, a renamed one and two open ones are named', async () => {
  const holed = directories.raftctl()
  const [first, second, third] = segments(holed)
  rmSync(join(holed, second!))
  assert.equal(await found(holed), [`damage missing-segment ${third}@- #${firstOf(second!)}`])
  const start = directories.raftctl()
  rmSync(join(start, first!))
  assert.equal(await found(start), [`damage missing-segment ${second}@- #1`])
  const renamed = directories.raftctl()
  const longer = second!.replace(/\d{20}$/, String(firstOf(third!)).padStart(20, '0'))
  renameSync(join(renamed, second!), join(renamed, longer))
  const names = (await found(renamed)).map((text) => text.split('@')[0])
  assert.equal(names, [`damage missing-segment ${third}`, `damage segment-name ${longer}`])
  const twice = directories.raftctl()
  renameSync(join(twice, third!), join(twice, `log/log_inprogress_${/\d{20}/.exec(third!)![0]}`))
  assert.match((await found(twice))[0]!, /damage two-open-segments/)
})

test('log_meta, term and vote, identity and bound: each flipped byte is found in its file', async () => {
  const changed = async (file: string, offset: number) => {
    const path = directories.raftctl()
    flip(join(path, file), offset)
    return await found(path)
  }
  assert.equal(await changed('log/log_meta', 3), ['damage log-meta log/log_meta@0 #-'])
  assert.equal(await changed('raft_meta/raft_meta', 2), ['damage raft-meta raft_meta/raft_meta@0 #-'])
  assert.equal(await changed('raft_meta/raft_meta', 5), ['damage raft-meta raft_meta/raft_meta@0 #-'])
  assert.equal(await changed('raftctl/node.json', 40), ['damage identity raftctl/node.json@0 #-'])
  const bySlot = [await changed('raftctl/meta.a', 100), await changed('raftctl/meta.b', 100)].flat()
  assert.ok(bySlot.includes('damage raft-meta raft_meta/raft_meta@0 #-'), 'the newest record: the file says more than the other knows')
  for (const slot of ['meta.a', 'meta.b']) assert.ok(bySlot.includes(`warning meta-slot raftctl/${slot}@0 #-`), slot)
  assert.equal(await changed('raftctl/durable', 30), ['warning durable-bound raftctl/durable@0 #-'])
  assert.equal(await changed('raftctl/durable', 4096 + 30), ['warning durable-bound raftctl/durable@4096 #-'])
  const missing = directories.raftctl()
  rmSync(join(missing, 'log/log_meta'))
  assert.equal(await found(missing), ['damage log-meta log/log_meta@- #-'])
})

test('what a crash between two saves leaves of raft_meta is a warning, and so is a lost term', async () => {
  const path = directories.raftctl()
  const file = join(path, 'raft_meta/raft_meta')
  const whole = readFileSync(file)
  const bytes = whole.subarray(0, 4 + whole.readUInt32BE(0))
  assert.is(bytes[5], 3)
  bytes[5] = 2
  bytes[bytes.length - 5] = '1'.charCodeAt(0)
  writeFileSync(file, bytes)
  assert.equal(await found(path), ['warning raft-meta raft_meta/raft_meta@0 #-'])
  const braft = directories.braft('n0')
  const meta = readFileSync(join(braft, 'raft_meta/raft_meta'))
  meta[5] = 1
  writeFileSync(join(braft, 'raft_meta/raft_meta'), meta)
  assert.equal(await found(braft), ['warning old-term raft_meta/raft_meta@0 #-'])
})

test('a snapshot is held to its list, to its checksums and to the log', async () => {
  const data = Buffer.alloc(5000, 'x')
  const good = directories.raftctl()
  putSnapshot(good, { index: 20, term: 2, data })
  assert.equal(await found(good), [])
  const snapshot = `snapshot/snapshot_${String(20).padStart(20, '0')}`
  const flipped = directories.raftctl()
  flip(putSnapshot(flipped, { index: 20, term: 2, data }), 3210)
  assert.equal(await found(flipped), [`damage snapshot-file ${snapshot}/data@- #20`])
  const cut = directories.raftctl()
  truncateSync(putSnapshot(cut, { index: 20, term: 2, data }), 4000)
  assert.equal(await found(cut), [`damage snapshot-file ${snapshot}/data@4000 #20`])
  const gone = directories.raftctl()
  rmSync(putSnapshot(gone, { index: 20, term: 2, data }))
  assert.equal(await found(gone), [`damage snapshot-file ${snapshot}/data@- #20`])
  const list = directories.raftctl()
  putSnapshot(list, { index: 20, term: 2, data })
  flip(join(list, snapshot, '__raft_snapshot_meta'), 3)
  assert.equal(await found(list), [`damage snapshot-list ${snapshot}/__raft_snapshot_meta@0 #20`])
  const otherTerm = directories.raftctl()
  putSnapshot(otherTerm, { index: 20, term: 3, data })
  assert.equal(await found(otherTerm), [`damage snapshot-term ${snapshot}/__raft_snapshot_meta@0 #20`])
})

test('a flipped byte in a snapshot of the key-value machine is found at the block it is in', async () => {
  const machine = newMachine()
  for (let i = 0; i < 12; i++) applyNext(machine, encode({ put: { key: b(`k${i}`), value: Buffer.alloc(100_000, i) } }))
  const { bytes, summary } = snapshotOf(machine)
  assert.ok(summary.blocks >= 4)
  const path = directories.raftctl()
  const file = putSnapshot(path, { index: 20, term: 2, data: bytes })
  const look = async () => {
    const directory = await openDataDirectory(path, null)
    return (await verifyDirectory(directory)).findings.map((finding) => placeOf(finding, path))
  }
  assert.equal(await look(), [])
  const at = Math.floor(bytes.length / 2)
  flip(file, at)
  const [found] = await look()
  const offset = Number(/@(\d+) #20$/.exec(found!)![1])
  assert.ok(offset <= at && offset > at - 2 * BLOCK_BYTES && offset > 0, found)
})

/** A sealed segment whose entries are all alike but for their data, from which one is taken and put in the place of another. */
function misplace(path: string, from: number, to: number): { name: string; first: number } {
  const name = segments(path)[1]!
  const file = join(path, name)
  const bytes = readFileSync(file)
  bytes.copy(bytes, to * ENTRY_BYTES, from * ENTRY_BYTES, (from + 1) * ENTRY_BYTES)
  writeFileSync(file, bytes)
  return { name, first: firstOf(name) }
}

test('H11 good entries in a sealed segment that stand where others were sealed are found', async () => {
  for (const [from, to] of [
    [3, 4],
    [0, 9],
    [9, 0],
  ] as const) {
    const path = directories.raftctl()
    const { name, first } = misplace(path, from, to)
    const verified = await verify(path)
    assert.equal(
      verified.findings.map((finding) => placeOf(finding, path)),
      [`damage sealed-entries ${name}@0 #${first}`],
    )
    assert.is(verified.verdict, 'damaged')
    // Nothing but the seal knows.
    rmSync(join(path, 'raftctl/seals'))
    assert.equal(await found(path), [])
  }
})

test('of two seals of one name the later counts, and one that is damaged vouches for nothing', async () => {
  const path = directories.raftctl()
  const seals = join(path, 'raftctl/seals')
  const bytes = readFileSync(seals)
  const start = bytes.subarray(0, 32)
  const other = Buffer.from(bytes.subarray(32, 64))
  other.writeUInt32BE(0xbad, 20)
  other.writeUInt32BE(crc32c(other.subarray(0, 28)), 28)
  writeFileSync(seals, Buffer.concat([start, other, bytes.subarray(32)]))
  assert.equal(await found(path), [])
  writeFileSync(seals, Buffer.concat([bytes, other]))
  assert.equal(await found(path), [`damage sealed-entries ${segments(path)[0]}@0 #1`])

  flip(seals, bytes.length + 3)
  assert.equal(await found(path), [`warning seals raftctl/seals@${bytes.length} #-`])
})

test('a log_meta that says another start than was recorded is found, though it reads well', async () => {
  const path = directories.raftctl()
  const logMeta = join(path, 'log/log_meta')
  const bytes = readFileSync(logMeta)
  assert.is(bytes.at(-1), 1, 'it starts at 1')
  bytes[bytes.length - 1] = 2
  writeFileSync(logMeta, bytes)
  const { findings } = await verify(path)
  const told = findings.find(({ kind }) => kind === 'log-meta')!
  assert.is(placeOf(told, path), 'damage log-meta log/log_meta@0 #2')
  assert.match(told.problem, 'it was made to start at 1')
})

test('the list of a snapshot is held to its seal', async () => {
  const executor = new EventLoopExecutor()
  const fileSystem = new NodeFileSystem(executor)
  const data = Buffer.alloc(100, 'x')
  const path = directories.raftctl()
  const metaFile = join(dirname(putSnapshot(path, { index: 20, term: 2, data })), '__raft_snapshot_meta')
  const decoded = decodeFramed(readFileSync(metaFile), SNAPSHOT_LIST_CODEC)
  const list = 'message' in decoded ? decoded.message : assert.unreachable('no list')
  const seal = new SnapshotSeal({ fileSystem, checksum, path: join(path, 'raftctl/snapshot.seal') })
  const saved = await new Promise<Status>((resolve) => executor.post(() => seal.save(list!, null, resolve), 'test'))
  assert.ok(saved.ok)
  assert.equal(await found(path), [])

  // Another list that is well made: the same index, other members.
  const { meta, files } = list!
  const forged = { meta: { ...meta, configuration: new ConfigurationEntry(meta.lastIncluded, new Configuration([PEER])) }, files }
  writeFileSync(metaFile, frame(SNAPSHOT_LIST_CODEC.encode(forged).finish()))
  assert.equal(await found(path), [`damage snapshot-list ${metaFile.slice(path.length + 1)}@0 #20`])
})

test('a log that starts above the snapshot has a hole', async () => {
  const path = directories.braft('n1')
  assert.equal(await found(path), [])
  rmSync(join(path, 'snapshot'), { recursive: true })
  assert.equal(await found(path), ['damage hole log/log_meta@0 #1'])
})

test('terms that fall from one segment to the next are found', async () => {
  const path = directories.raftctl()
  const [, second, third] = segments(path)
  const bytes = readFileSync(join(path, openOf(path))).subarray(0, ENTRY_BYTES)
  assert.ok(firstOf(third!) < 30)
  const later = Buffer.concat(Array.from({ length: firstOf(third!) - firstOf(second!) }, () => bytes))
  writeFileSync(join(path, second!), later)
  const wentBack = `damage term-went-back ${third}@0 #${firstOf(third!)}`
  assert.equal(await found(path), [wentBack, `damage sealed-entries ${second}@0 #${firstOf(second!)}`])
  rmSync(join(path, 'raftctl/seals'))
  assert.equal(await found(path), [wentBack])
})

test('while a node runs a half-written end is no finding, and damage below the bound is', async () => {
  const path = directories.raftctl()
  const open = join(path, openOf(path))
  const lock = await DirectoryLock.acquire(path)
  appendFileSync(open, readFileSync(open).subarray(0, 30))
  const running = await verify(path)
  assert.equal([running.pid, running.verdict, running.findings.length], [process.pid, 'ok', 0])
  flip(open, 30)
  assert.equal(await found(path), [`damage bad-entry ${openOf(path)}@0 #${firstOf(openOf(path))}`])
  await lock.release()
})

test('while a node runs what is wrong in one look only is no finding, and a file that went away is looked for again', async () => {
  const path = directories.raftctl()
  const lock = await DirectoryLock.acquire(path)
  const directory = await openDataDirectory(path, null)
  const finding = (index: number): Finding => ({
    ...{ severity: 'damage', kind: 'bad-entry', group: 'kv', file: 'f', offset: 0, index, problem: '', meaning: '', command: null },
  })
  let looks = 0
  const moving = await settledLook(directory, () => {
    if (++looks === 2) throw new FileChangedError('renamed')
    return { findings: [finding(looks)] }
  })
  assert.equal(moving.findings, [])
  const lasting = await settledLook(directory, () => ({ findings: [finding(7), finding(100 + ++looks)] }))
  assert.equal(
    lasting.findings.map(({ index }) => index),
    [7],
  )
  await lock.release()
})

test('groups below the data directory are checked each by itself', async () => {
  const path = directories.raftctl()
  const other = directories.raftctl()
  mkdirSync(join(path, 'groups'))
  renameSync(other, join(path, 'groups', 'a%2Fb'))
  flip(join(path, 'groups', 'a%2Fb', openOf(path)), 30)
  const { findings, checked } = await verify(path)
  assert.equal([checked.groups, findings.length, findings[0]!.group], [2, 1, 'a/b'])
  const only = await verifyDirectory(await openDataDirectory(path, 'kv'))
  assert.equal(only.findings, [])
})

test.run()
