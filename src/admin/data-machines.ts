import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { example } from '../generated/braft.js'
import { parseLine } from '../machines/atomic/state-machine.js'
import { verifySnapshotFile } from '../machines/kv/snapshot-file.js'
import { SNAPSHOT_FILE, SnapshotDamage } from '../machines/kv/snapshot-format.js'
import type { MachineKind } from '../machines/machine.js'
import { decodeFramed } from '../storage/protobuf-file.js'

/** Looks into a file of a snapshot of one kind of state machine; answers what is wrong with it, with the offset. */
export type MachineCheck = (path: string) => { readonly offset: number | null; readonly problem: string } | null

/** What looks into the snapshots of a group; null where it is not known what runs there, or where any byte is as good as another. */
export function machineCheck(machine: MachineKind | null): MachineCheck | null {
  const check = machine === null ? null : CHECKS[machine]
  // All of them write one file; what else there may be is of another machine.
  return check && ((path) => (basename(path) === SNAPSHOT_FILE ? check(path) : null))
}

const CHECKS: Readonly<Record<MachineKind, MachineCheck | null>> = {
  kv: (path) => {
    try {
      verifySnapshotFile(path)
      return null
    } catch (thrown) {
      if (!(thrown instanceof SnapshotDamage)) throw thrown
      return thrown.kind === 'foreign' ? null : { offset: thrown.offset, problem: thrown.problem }
    }
  },
  counter: (path) => {
    const decoded = decodeFramed(readFileSync(path), example.Snapshot)
    return 'problem' in decoded ? { offset: 0, problem: decoded.problem } : null
  },
  atomic: (path) => {
    let offset = 0
    for (const line of readFileSync(path, 'latin1').split('\n')) {
      if (line !== '' && parseLine(line) === null) return { offset, problem: 'the line is no id and value' }
      offset += line.length + 1
    }
    return null
  },
  block: null,
}
