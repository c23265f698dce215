import type { Checksum } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { EntryBatch } from '../raft/log-entry.js'
import { type LogIndex, plus } from '../raft/types.js'
import type { Segment } from './segment.js'

/** What was read of a segment file. */
export interface SegmentBytes {
  readonly path: string
  readonly from: LogIndex
  readonly last: LogIndex
  /** Where in the file `bytes` begin. */
  readonly start: number
  readonly bytes: Buffer
}

/** Where in the file, and at which entry, it is not what was written. */
export interface ReadProblem {
  readonly offset: number
  readonly index: LogIndex
  readonly problem: string
}

/** What is answered for entries that are not what was written. */
export function damageOf(path: string, { offset, index, problem }: ReadProblem, dataDirectory: string): Status {
  const act = `Restore ${dataDirectory} from a copy; the other members keep serving without it`
  return Status.error(ErrorCode.ECORRUPT, `${path} is damaged at offset ${offset} (index ${index}): ${problem}. ${act}`)
}

/**
 * The entries in `bytes`, when they are the very ones that were written there. Whole entries with good checksums are not enough: a
 * lost or misdirected write leaves such, too.
 */
export function checkRead(segment: Segment, { from, last, start, bytes }: SegmentBytes, checksum: Checksum): EntryBatch | ReadProblem {
  const { batch, goodBytes, problem } = EntryBatch.parse(from, bytes, checksum)
  const bad = (offset: number, index: LogIndex, what: string) => ({ offset: start + offset, index, problem: what })
  if (problem || !batch) return bad(goodBytes, plus(from, batch?.count ?? 0), problem ?? 'the file is too short')
  for (let index = from; index <= batch.lastIndex; index = plus(index, 1)) {
    // The sum of a header covers its term, its length and the sum of its data.
    const isSame = index <= last && batch.sumAt(index) === segment.sumAt(index)
    if (!isSame) return bad(batch.offsetAt(index), index, 'another entry than was written')
  }
  return batch.lastIndex === last ? batch : bad(goodBytes, plus(batch.lastIndex, 1), 'the file is too short')
}
