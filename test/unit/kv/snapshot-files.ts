import { raftctl } from '../../../src/generated/kv.js'
import { canonicalRecords, type FrozenState, type StateRecord } from '../../../src/machines/kv/canonical.js'
import { SnapshotDecoder } from '../../../src/machines/kv/snapshot-decoder.js'
import { SnapshotEncoder } from '../../../src/machines/kv/snapshot-encoder.js'
import { SnapshotDamage, type SnapshotSummary } from '../../../src/machines/kv/snapshot-format.js'
import type { KvStateMachine } from '../../../src/machines/kv/state-machine.js'

/** The records of a frozen state, each as its bytes in hex. */
export function streamOf(state: FrozenState): string[] {
  return [...canonicalRecords(state)].flatMap((record) => (record ? [hexOf(record)] : []))
}

export function hexOf(record: StateRecord): string {
  return Buffer.from(raftctl.kv.StateRecord.encode(record).finish()).toString('hex')
}

/** A whole snapshot file of records. */
export function fileOf(records: Iterable<StateRecord | null>): { bytes: Buffer; summary: SnapshotSummary } {
  const encoder = new SnapshotEncoder()
  const buffers = [encoder.header()]
  for (const record of records) {
    const block = record && encoder.add(record)
    if (block) buffers.push(Buffer.from(block))
  }
  const end = encoder.finish()
  return { bytes: Buffer.concat([...buffers, ...end.buffers]), summary: end.summary }
}

export function snapshotOf(machine: KvStateMachine): { bytes: Buffer; summary: SnapshotSummary } {
  const state = machine.freeze()
  const file = fileOf(canonicalRecords(state))
  state.store.release()
  return file
}

/** Reads a file in pieces of `pieceBytes`: its records in hex and what it holds, or the damage. */
export function read(bytes: Buffer, pieceBytes = bytes.length): { records: string[]; summary: SnapshotSummary } | SnapshotDamage {
  const decoder = new SnapshotDecoder()
  const records: string[] = []
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      for (const record of decoder.push(bytes.subarray(at, at + pieceBytes))) records.push(hexOf(record))
    }
    return { records, summary: decoder.end() }
  } catch (error) {
    if (error instanceof SnapshotDamage) return error
    throw error
  }
}
