import { closeSync, openSync, readSync } from 'node:fs'
import type { StateRecord } from './canonical.js'
import { SnapshotDecoder } from './snapshot-decoder.js'
import type { SnapshotSummary } from './snapshot-format.js'

const PIECE_BYTES = 256 * 1024

/**
 * The records of a snapshot's file `data`, one after the other, and at the end what it holds. Throws SnapshotDamage where the
 * file is not whole; what came before it was good. For commands: it reads synchronously, and needs no node.
 */
export function* snapshotFileRecords(path: string): Generator<StateRecord, SnapshotSummary> {
  const fd = openSync(path, 'r')
  try {
    const decoder = new SnapshotDecoder()
    for (;;) {
      // Records look into the piece that they came in: each gets its own.
      const piece = Buffer.allocUnsafe(PIECE_BYTES)
      const bytes = readSync(fd, piece, 0, PIECE_BYTES, null)
      if (bytes === 0) return decoder.end()
      yield* decoder.push(piece.subarray(0, bytes))
    }
  } finally {
    closeSync(fd)
  }
}

/** Reads a whole file and answers what it holds. Throws SnapshotDamage. */
export function verifySnapshotFile(path: string): SnapshotSummary {
  const records = snapshotFileRecords(path)
  for (;;) {
    const step = records.next()
    if (step.done) return step.value
  }
}
