import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { SNAPSHOT_LIST, type SnapshotMeta } from '../raft/storage.js'
import { checksum, crc32c } from '../storage/checksum.js'
import { decodeFramed } from '../storage/protobuf-file.js'
import { SNAPSHOT_LIST_CODEC } from '../storage/snapshot-list.js'
import { listDigest } from '../storage/snapshot-seal.js'
import { ifThere, listDirectory, readWhole, sizeOf } from './data-directory.js'

const DIRECTORY_NAME = /^snapshot_(\d{20})$/
const CHECKSUM = /^crc32c:([0-9a-f]{8})$/
const PIECE_BYTES = 1024 * 1024

/** A file that a snapshot lists. */
export interface SnapshotFileContents {
  readonly name: string
  /** Null when it is missing. */
  readonly bytes: number | null
  /** As they were recorded when the snapshot was taken; null when they were not. */
  readonly checksum: string | null
  readonly recordedBytes: number | null
}

/** One `snapshot_N` directory. */
export interface SnapshotContents {
  readonly path: string
  readonly metaFile: string
  /** By the name of the directory. */
  readonly index: number
  /** Why its list cannot be read; null when it can. */
  readonly problem: string | null
  /** What it stands for, by its list; null when that cannot be read. */
  readonly meta: SnapshotMeta | null
  /** Stands for all that its list says; null when that cannot be read. */
  readonly listDigest: number | null
  readonly files: readonly SnapshotFileContents[]
  readonly bytes: number
}

/** The snapshots of a group, oldest first. */
export function readSnapshots(directory: string): SnapshotContents[] {
  const names = (listDirectory(directory) ?? []).flatMap((name) => {
    const match = DIRECTORY_NAME.exec(name)
    return match ? [{ path: join(directory, name), index: Number(match[1]) }] : []
  })
  return names.sort((a, b) => a.index - b.index).map(({ path, index }) => readSnapshot(path, index))
}

function readSnapshot(path: string, index: number): SnapshotContents {
  const metaFile = join(path, SNAPSHOT_LIST)
  const broken = (problem: string) => ({ path, metaFile, index, problem, meta: null, listDigest: null, files: [], bytes: 0 })
  const bytes = readWhole(metaFile)
  if (bytes === null) return broken('it is missing')
  const decoded = decodeFramed(bytes, SNAPSHOT_LIST_CODEC)
  if ('problem' in decoded) return broken(decoded.problem)
  const { meta, files } = decoded.message
  const listed = [...files].map(([name, { checksum: recorded = null, size = null }]) => ({
    ...{ name, checksum: recorded },
    recordedBytes: size,
    bytes: sizeOf(join(path, name)),
  }))
  return {
    ...{ path, metaFile, index, problem: null, meta, files: listed },
    listDigest: listDigest(decoded.message, checksum),
    bytes: listed.reduce((sum, file) => sum + (file.bytes ?? 0), 0),
  }
}

/** The recorded checksum as a number; null when it is of a kind that cannot be recomputed. */
export function recordedCrc(checksum: string | null): number | null {
  const match = CHECKSUM.exec(checksum ?? '')
  return match ? Number.parseInt(match[1]!, 16) : null
}

/** CRC-32C of a file, a piece at a time; null when it went away. */
export function crcOfFile(path: string): number | null {
  return ifThere(path, () => {
    const descriptor = openSync(path, 'r')
    try {
      const piece = Buffer.allocUnsafe(PIECE_BYTES)
      let crc = 0
      for (let position = 0; ; ) {
        const count = readSync(descriptor, piece, 0, PIECE_BYTES, position)
        if (count === 0) return crc
        crc = crc32c(piece.subarray(0, count), crc)
        position += count
      }
    } finally {
      closeSync(descriptor)
    }
  })
}
