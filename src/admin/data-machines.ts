import { basename } from 'node:path'
import { verifySnapshotFile } from '../machines/kv/snapshot-file.js'
import { SNAPSHOT_FILE, SnapshotDamage } from '../machines/kv/snapshot-format.js'
import type { MachineCheck } from './data-check-snapshots.js'
import type { DataDirectory } from './data-directory.js'

/** What looks into the snapshots of a directory: that of the key-value machine, which every node of ours runs. */
export function machineCheck({ kind }: DataDirectory): MachineCheck | null {
  return kind === 'raftctl' ? checkKvSnapshot : null
}

/** Null for a file of another machine too: its size and checksum are all that is known of it. */
function checkKvSnapshot(path: string): ReturnType<MachineCheck> {
  if (basename(path) !== SNAPSHOT_FILE) return null
  try {
    verifySnapshotFile(path)
    return null
  } catch (thrown) {
    if (!(thrown instanceof SnapshotDamage)) throw thrown
    return thrown.kind === 'foreign' ? null : { offset: thrown.offset, problem: thrown.problem }
  }
}
