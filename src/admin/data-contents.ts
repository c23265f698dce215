import { join } from 'node:path'
import { braft } from '../generated/braft.js'
import type { ConfigurationEntry } from '../raft/configuration.js'
import type { RaftMeta } from '../raft/storage.js'
import { fromInt64, type LogIndex, logIndex } from '../raft/types.js'
import { decodeSlot, RECORD_BYTES, type Slot } from '../storage/alternating-record.js'
import { checksum } from '../storage/checksum.js'
import { type DurableMark, decodeMark, SECOND_SLOT_AT } from '../storage/durable-length.js'
import { decodeIdentity, type IdentityRecord } from '../storage/identity-file.js'
import { decodeMetaFile } from '../storage/meta-place.js'
import { storagePaths } from '../storage/open-storage.js'
import { decodeFramed } from '../storage/protobuf-file.js'
import { decodeMetaSlot, META_CODEC } from '../storage/raft-meta.js'
import { decodeSeals, type Seals } from '../storage/seal-file.js'
import { parseSegmentName } from '../storage/segment.js'
import { FileChangedError, SegmentFile } from '../storage/segment-file.js'
import { decodeListSeals, type ListSeal } from '../storage/snapshot-seal.js'
import { type GroupPlace, ifThere, listDirectory, readWhole } from './data-directory.js'
import { readSnapshots, type SnapshotContents } from './data-snapshots.js'

/** A file that is there, is not, or cannot be understood. */
export type Found<T> =
  | { readonly state: 'missing' }
  | { readonly state: 'damaged'; readonly problem: string }
  | { readonly state: 'valid'; readonly value: T }

/** Two slots of an alternating record, and what the newest valid one says. */
export interface SlotPair<T> {
  readonly paths: readonly [string, string]
  readonly slots: readonly [Slot, Slot]
  readonly values: readonly [T | null, T | null]
  /** Place of the newest valid slot; null when none is. */
  readonly newest: 0 | 1 | null
}

/** Everything that a group keeps on disk, read once. */
export interface GroupContents extends Disposable {
  readonly place: GroupPlace
  readonly identity: Found<IdentityRecord>
  readonly raftMeta: Found<RaftMeta>
  readonly metaSlots: SlotPair<RaftMeta>
  readonly durable: SlotPair<DurableMark>
  readonly logFirstIndex: Found<LogIndex>
  /** In order of their first index, the open one last; scanned. Those wholly below the first index are left out. */
  readonly segments: readonly SegmentFile[]
  readonly obsolete: number
  readonly snapshots: readonly SnapshotContents[]
  /** What vouches for the sealed segments and the first index; null without one. */
  readonly seals: Seals | null
  /** What vouches for the lists of snapshots. */
  readonly listSeals: SlotPair<readonly ListSeal[]>
}

export function filesOf(directory: string) {
  const { log, raftMeta, integrity } = storagePaths(directory)
  return {
    log,
    logMeta: join(log, 'log_meta'),
    raftMeta: join(raftMeta, 'raft_meta'),
    identity: join(integrity, 'node.json'),
    metaSlots: [join(integrity, 'meta.a'), join(integrity, 'meta.b')] as const,
    durable: join(integrity, 'durable'),
    seals: join(integrity, 'seals'),
    listSeals: join(integrity, 'snapshot.seal'),
  }
}

/**
 * Reads a group. What vouches for something is read after it, or the other way round where it promises a minimum, so that a
 * node that runs meanwhile is not taken for a damaged one. Throws FileChangedError when files went away while it read.
 */
export function readGroup(place: GroupPlace): GroupContents {
  const files = filesOf(place.directory)
  const raftMeta = readMessage(files.raftMeta, (bytes) => decodeMetaFile(bytes, META_CODEC, checksum))
  const metaSlots = readSlots([files.metaSlots[0], files.metaSlots[1]], [0, 0], tolerant(decodeMetaSlot))
  const durable = readSlots([files.durable, files.durable], [0, SECOND_SLOT_AT], decodeMark)
  const identity = readIdentity(files.identity)
  const snapshots = readSnapshots(storagePaths(place.directory).snapshot)
  const logMeta = readMessage(files.logMeta, (bytes) => decodeFramed(bytes, braft.LogPBMeta))
  const logFirstIndex: Found<LogIndex> =
    logMeta.state === 'valid' ? { state: 'valid', value: logIndex(fromInt64(logMeta.value.first_log_index)) } : logMeta
  const { segments, obsolete } = readSegments(files.log, logFirstIndex.state === 'valid' ? logFirstIndex.value : logIndex(1))
  // Both are written before what they vouch for gets its name.
  const sealBytes = readWhole(files.seals)
  const seals = sealBytes === null ? null : decodeSeals(sealBytes, checksum)
  const listSeals = readSlots([files.listSeals, files.listSeals], [0, SECOND_SLOT_AT], decodeListSeals)
  return {
    ...{ place, identity, raftMeta, metaSlots, durable, logFirstIndex, segments, obsolete, snapshots, seals, listSeals },
    [Symbol.dispose]: () => segments.forEach((segment) => segment[Symbol.dispose]()),
  }
}

/** Every descriptor is opened before any file is read: names that change meanwhile do no harm. */
function readSegments(directory: string, firstIndex: LogIndex): { segments: SegmentFile[]; obsolete: number } {
  const names = (listDirectory(directory) ?? []).map(parseSegmentName).filter((name) => name !== null)
  const kept = names.filter(({ firstIndex: first, lastIndex }) => lastIndex === null || lastIndex >= firstIndex || lastIndex < first)
  kept.sort((a, b) => Number(a.lastIndex === null) - Number(b.lastIndex === null) || a.firstIndex - b.firstIndex)
  const segments: SegmentFile[] = []
  try {
    for (const name of kept) {
      const path = join(directory, name.name)
      const file = ifThere(path, () => new SegmentFile(name, path))
      if (!file) throw new FileChangedError(`${path} went away`)
      segments.push(file)
    }
    for (const segment of segments) segment.scan()
  } catch (error) {
    for (const segment of segments) segment[Symbol.dispose]()
    throw error
  }
  return { segments, obsolete: names.length - kept.length }
}

function readMessage<T>(path: string, decode: (bytes: Buffer) => { readonly message: T } | { readonly problem: string }): Found<T> {
  const bytes = readWhole(path)
  if (bytes === null) return { state: 'missing' }
  const decoded = decode(bytes)
  return 'problem' in decoded ? { state: 'damaged', problem: decoded.problem } : { state: 'valid', value: decoded.message }
}

function readIdentity(path: string): Found<IdentityRecord> {
  const bytes = readWhole(path)
  if (bytes === null) return { state: 'missing' }
  const decoded = decodeIdentity(bytes, checksum)
  return typeof decoded === 'string' ? { state: 'damaged', problem: decoded } : { state: 'valid', value: decoded }
}

function readSlots<T>(
  paths: readonly [string, string],
  positions: readonly [number, number],
  decode: (payload: Buffer) => T | null,
): SlotPair<T> {
  const slots = ([0, 1] as const).map((which) => {
    const bytes = readWhole(paths[which]) ?? Buffer.alloc(0)
    return decodeSlot(bytes.subarray(positions[which], positions[which] + RECORD_BYTES), checksum)
  }) as unknown as readonly [Slot, Slot]
  const values = slots.map((slot) => (slot.state === 'valid' ? decode(slot.payload) : null)) as unknown as readonly [T | null, T | null]
  const sequence = (which: 0 | 1) => {
    const slot = slots[which]
    return slot.state === 'valid' && values[which] !== null ? slot.sequence : 0
  }
  const newest = sequence(0) === 0 && sequence(1) === 0 ? null : sequence(1) > sequence(0) ? 1 : 0
  return { paths, slots, values, newest }
}

function tolerant<T>(decode: (payload: Buffer) => T): (payload: Buffer) => T | null {
  return (payload) => {
    try {
      return decode(payload)
    } catch {
      return null
    }
  }
}

/** The newest configuration that the directory holds, of the log or of the snapshot; null when there is none. */
export function newestConfiguration(contents: GroupContents): ConfigurationEntry | null {
  const inLog = contents.segments.flatMap((segment) => segment.configurations).at(-1)
  return inLog ?? contents.snapshots.at(-1)?.meta?.configuration ?? null
}
