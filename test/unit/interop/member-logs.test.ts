import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ENTRY_HEADER_BYTES } from '../../../src/raft/log-entry.js'
import { crc32c } from '../../../src/storage/checksum.js'
import { compareLogs, type MemberLog, snapshotDigest, snapshotValue } from '../../interop/member-logs.js'
import { FIXTURES } from '../../support/rpc.js'

const braft = (name: string): MemberLog => ({ name, directory: fileURLToPath(new URL(`counter-4-peers/${name}/data`, FIXTURES)) })

let scratch: string
test.before.each(() => {
  scratch = mkdtempSync(join(tmpdir(), 'raftctl-interop-'))
})
test.after.each(() => rmSync(scratch, { recursive: true }))

/** A copy of n1's directory whose open segment was changed. */
function changed(change: (segment: Buffer) => Buffer): MemberLog {
  cpSync(braft('n1').directory, scratch, { recursive: true })
  const open = readdirSync(join(scratch, 'log')).find((name) => name.startsWith('log_inprogress'))!
  const path = join(scratch, 'log', open)
  writeFileSync(path, change(readFileSync(path)))
  return { name: 'changed', directory: scratch }
}

test('logs that braft wrote on three members agree where all have entries', () => {
  assert.equal(compareLogs([braft('n0'), braft('n1'), braft('n3')]), { from: 80, to: 82, problems: [] })
  assert.equal(compareLogs([braft('n0'), braft('n1')]), { from: 75, to: 82, problems: [] })
})

test('an entry that differs is named', () => {
  const { problems } = compareLogs([braft('n1'), changed((segment) => withLastByteTurned(segment))])
  assert.is(problems.length, 1)
  assert.match(problems[0]!, /^entry 82 differs: n1 has term 3, data, \d+ bytes [0-9a-f]+, changed has term 3, data/)
})

test('a log that is cut in the middle of an entry, or damaged, is no log', () => {
  assert.match(compareLogs([braft('n1'), changed((segment) => segment.subarray(0, -1))]).problems[0]!, /^changed: .*short data/)
  const flipped = changed((segment) => Buffer.concat([segment.subarray(0, -1), Buffer.from([segment.at(-1)! ^ 1])]))
  assert.match(compareLogs([braft('n1'), flipped]).problems[0]!, /^changed: .*checksum/)
})

test('what a snapshot says of the counter', () => {
  assert.is(snapshotValue(braft('n1').directory, 79), snapshotValue(braft('n3').directory, 79))
  assert.throws(() => snapshotValue(braft('n1').directory, 78), /ENOENT/)
})

test('snapshots of the same bytes have the same digest, others have another', () => {
  const digest = snapshotDigest(braft('n1').directory, 79)
  assert.is(snapshotDigest(braft('n3').directory, 79), digest)
  cpSync(braft('n1').directory, scratch, { recursive: true })
  writeFileSync(join(scratch, 'snapshot/snapshot_00000000000000000079/data'), 'another')
  assert.is.not(snapshotDigest(scratch, 79), digest)
})

/** The same log, but for a bit in the last entry, under checksums that are right. */
function withLastByteTurned(segment: Buffer): Buffer {
  let at = 0
  let last = 0
  for (; at < segment.length; at += ENTRY_HEADER_BYTES + segment.readUInt32BE(at + 12)) last = at
  segment[segment.length - 1]! ^= 1
  segment.writeUInt32BE(crc32c(segment.subarray(last + ENTRY_HEADER_BYTES)), last + 16)
  segment.writeUInt32BE(crc32c(segment.subarray(last, last + 20)), last + 20)
  return segment
}

test.run()
