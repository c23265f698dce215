import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { braft } from '../../../src/generated/braft.js'
import { Status } from '../../../src/raft/errors.js'
import { decodeFile } from '../../../src/rpc/braft-requests.js'

/** braft looks for zeros in pieces of its buffers, and leaves those out that are nothing else (raft_file_check_hole). */
const BLOCK_BYTES = 8 * 1024
const COUNT = 128 * 1024

/** Some text at the start of every 40,000 bytes, and nothing in between. */
function holeFile(size: number): Buffer {
  const file = Buffer.alloc(size)
  for (let i = 0; i * 40_000 < size; i++) file.write(`hello ${i}`, i * 40_000)
  return file
}

/** What a braft source answers for a range: the message, and the segments of its attachment. */
function answerOf(file: Buffer, offset: number, leavesHolesOut: boolean): { message: Uint8Array; attachment: Buffer } {
  const piece = file.subarray(offset, offset + COUNT)
  const parts: Buffer[] = []
  const step = leavesHolesOut ? BLOCK_BYTES : COUNT
  for (let at = 0; at < piece.length; at += step) {
    const data = piece.subarray(at, at + step)
    if (leavesHolesOut && data.every((byte) => byte === 0)) continue
    const header = Buffer.alloc(12)
    header.writeBigUInt64BE(BigInt(offset + at))
    header.writeUInt32BE(data.length, 8)
    parts.push(header, data)
  }
  const eof = offset + COUNT >= file.length
  return { message: braft.GetFileResponse.encode({ eof, read_size: piece.length }).finish(), attachment: Buffer.concat(parts) }
}

function copyOf(file: Buffer, leavesHolesOut: boolean): { copy: Buffer; attached: number } {
  const pieces: Buffer[] = []
  let attached = 0
  for (let offset = 0, eof = false; !eof; ) {
    const { message, attachment } = answerOf(file, offset, leavesHolesOut)
    const piece = decodeFile(message, attachment, { offset, count: COUNT })
    assert.not.instance(piece, Status)
    const { data, eof: isLast } = piece as Exclude<typeof piece, Status>
    pieces.push(data)
    offset += data.length
    eof = isLast
    attached += attachment.length
  }
  return { copy: Buffer.concat(pieces), attached }
}

test('a file that a braft source sends with its holes left out arrives with the zeros that they stand for', () => {
  // Ends in data, in a hole, and with a piece that is nothing but one.
  for (const size of [1_000_000 + 20, 1_030_000, 5 * COUNT]) {
    const file = holeFile(size)
    const whole = copyOf(file, false)
    const sparse = copyOf(file, true)
    assert.ok(whole.copy.equals(file), `${size} bytes`)
    assert.ok(sparse.copy.equals(file), `${size} bytes with holes`)
    assert.ok(sparse.attached < whole.attached / 2, 'most of it was left out')
  }
  const nothing = copyOf(Buffer.alloc(3 * COUNT + 5), true)
  assert.equal([nothing.copy.length, nothing.attached, nothing.copy.every((byte) => byte === 0)], [3 * COUNT + 5, 0, true])
})

test('several segments in one answer each go where they say, in any order', () => {
  const file = holeFile(COUNT + 100_000)
  const { message, attachment } = answerOf(file, COUNT, true)
  const segments: Buffer[] = []
  for (let at = 0; at < attachment.length; ) {
    const end = at + 12 + attachment.readUInt32BE(at + 8)
    segments.push(attachment.subarray(at, end))
    at = end
  }
  assert.ok(segments.length > 1)
  const found = decodeFile(message, Buffer.concat(segments.reverse()), { offset: COUNT, count: COUNT })
  assert.not.instance(found, Status)
  const { data, eof } = found as Exclude<typeof found, Status>
  assert.ok(data.equals(file.subarray(COUNT)))
  assert.is(eof, true)
})

test.run()
