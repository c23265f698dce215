import { ChecksumType } from '../raft/environment.js'
import { ENTRY_HEADER_BYTES, EntryType } from '../raft/log-entry.js'
import { checksum } from './checksum.js'

/**
 * Stands behind the last entry of a segment where zeros follow it. By its form the header of an entry of term 0 that is longer than
 * any segment: braft takes it for the beginning of one that was not written whole, and cuts it off together with what follows.
 */
export const END_MARK = endMark()

/** Whether the entries end at `at`, whatever follows. */
export function isEndMark(bytes: Buffer, at: number): boolean {
  return bytes.length - at >= END_MARK.length && END_MARK.compare(bytes, at, at + END_MARK.length) === 0
}

function endMark(): Buffer {
  const header = Buffer.alloc(ENTRY_HEADER_BYTES)
  header[8] = EntryType.NO_OP
  header[9] = ChecksumType.CRC32C
  header.writeUInt32BE(0x7fff_ffff, 12)
  header.writeUInt32BE(checksum.crc32c(header.subarray(0, 20)), 20)
  return header
}
