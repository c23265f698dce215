import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { removeEmpty } from './cluster-lock.js'
import { endNow } from './process-control.js'
import { forgetCluster, type LocalCluster } from './state-file.js'

/**
 * What the start of a new cluster has made so far: directories and processes. Owned by that start, which takes everything
 * away again when it fails or is interrupted, and nothing that was there before. Synchronous, because a process that is
 * being interrupted has no later.
 */
export class Footprint {
  private readonly firstMade: string[] = []
  private readonly nodeDirectories: string[] = []
  private readonly pids: number[] = []
  private cluster: LocalCluster | null = null

  /** Makes a directory for a node alone, with everything above it. */
  makeNodeDirectory(path: string): void {
    this.makeDirectory(path)
    this.nodeDirectories.push(path)
  }

  makeDirectory(path: string): void {
    const missing: string[] = []
    for (let at = path; !existsSync(at); at = dirname(at)) missing.unshift(at)
    if (missing.length === 0) mkdirSync(path, { recursive: true })
    // One by one: Node's recursive mkdir never returns where the file system says ENOENT although the parent is there (/proc).
    for (const [i, at] of missing.entries()) {
      mkdirSync(at)
      if (i === 0) this.firstMade.push(at)
    }
  }

  ownsState(cluster: LocalCluster): void {
    this.cluster = cluster
  }

  ownsProcess(pid: number): void {
    this.pids.push(pid)
  }

  /** Null while there is no cluster yet. */
  get clusterId(): string | null {
    return this.cluster?.clusterId ?? null
  }

  takeAway(): void {
    endNow(this.pids)
    for (const directory of this.nodeDirectories) rmSync(directory, { recursive: true, force: true })
    if (this.cluster) forgetCluster(this.cluster.name)
    for (const topmost of this.firstMade.reverse()) {
      const inside = this.nodeDirectories.find((directory) => directory.startsWith(`${topmost}/`))
      removeEmpty(inside === undefined ? topmost : dirname(inside), topmost)
    }
  }
}
