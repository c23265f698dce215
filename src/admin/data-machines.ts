import type { MachineCheck } from './data-check-snapshots.js'
import type { DataDirectory, GroupPlace } from './data-directory.js'

/** What looks into the snapshots of a group: that of its machine, where it is known. */
export function machineCheck(_directory: DataDirectory): (place: GroupPlace) => MachineCheck | null {
  return () => null
}
