import type { Done } from '../raft/closure.js'
import type { FileSystem } from '../raft/environment.js'
import type { Segment } from './segment.js'

/**
 * Gives segments new names, one at a time. Between the rename and its answer neither name can be relied on: reads wait for it
 * instead of taking the file for lost.
 */
export class SegmentRenames {
  private waiting: (() => void)[] | null = null

  constructor(private readonly fileSystem: FileSystem) {}

  /** The open segment becomes a sealed one. The new name is not durable yet. */
  seal(segment: Segment, done: Done): void {
    this.rename(segment.openPath, segment.sealedPath, () => segment.seal(), done)
  }

  /** A sealed segment becomes the open one. The new name is not durable yet. */
  reopen(segment: Segment, done: Done): void {
    this.rename(segment.sealedPath, segment.openPath, () => segment.reopen(), done)
  }

  /** Runs `then` when the rename under way has been answered. False, and it is never run, when there is none. */
  whenAnswered(then: () => void): boolean {
    this.waiting?.push(then)
    return this.waiting !== null
  }

  private rename(from: string, to: string, note: () => void, done: Done): void {
    const waiting: (() => void)[] = []
    this.waiting = waiting
    this.fileSystem.rename(from, to, (status) => {
      this.waiting = null
      if (status.ok) note()
      done(status)
      for (const then of waiting) then()
    })
  }
}
