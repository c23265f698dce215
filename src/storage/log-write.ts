import { assert } from '../raft/errors.js'
import type { EntryBatch } from '../raft/log-entry.js'
import { type LogIndex, plus } from '../raft/types.js'
import { WRITE_BYTES_MAX } from './log-recovery.js'

/** libuv splits a write of more than 1,024 buffers, and each part would sync by itself; one is for the mark of the end. */
const WRITE_BUFFERS_MAX = 1023

/** Batches that are appended go on from `first` without a gap. */
export function assertFollows(batches: readonly EntryBatch[], first: LogIndex): void {
  let next = first
  for (const batch of batches) {
    assert(batch.firstIndex === next, 'append leaves a gap', { expected: next, first: batch.firstIndex })
    next = plus(next, batch.count)
  }
}

/** Takes from the queue what goes into one write: entries that start within the room of the segment and the limits of a write. */
export function takeWrite(queue: EntryBatch[], segmentRoom: number): EntryBatch[] {
  const parts: EntryBatch[] = []
  let room = Math.min(segmentRoom, WRITE_BYTES_MAX)
  while (queue.length > 0 && room >= 0 && parts.length < WRITE_BUFFERS_MAX) {
    const batch = queue[0]!
    const last = batch.lastStartingWithin(room)
    if (last === batch.lastIndex) queue.shift()
    else queue[0] = batch.slice(plus(last, 1), batch.lastIndex)
    const part = batch.slice(batch.firstIndex, last)
    parts.push(part)
    room -= part.byteLength
  }
  return parts
}
