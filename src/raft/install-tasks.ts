import { assert } from './errors.js'

/** braft's raft_max_install_snapshot_tasks_num. */
export const INSTALL_TASKS_MAX = 1000

/**
 * How many snapshots are copied to here from other members at a time. Shared by the nodes of a process, whose disk and network bear
 * all copies together (braft's SnapshotThrottle). Who finds no place is refused with EBUSY, and its leader offers again.
 */
export class InstallTasks {
  private running = 0

  constructor(
    /** Copies at a time. */
    readonly max = INSTALL_TASKS_MAX,
  ) {
    assert(Number.isSafeInteger(max) && max > 0, 'no limit of snapshots that are copied', { max })
  }

  /** Copies that run. */
  get count(): number {
    return this.running
  }

  /** Takes a place, and answers how to give it up; null when all are taken. */
  begin(): (() => void) | null {
    if (this.running >= this.max) return null
    this.running++
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.running--
    }
  }
}
