import type { Done } from '../raft/closure.js'
import type { Failpoints, FileSystem } from '../raft/environment.js'
import { Status } from '../raft/errors.js'
import { forEachInOrder, inSequence, point } from './steps.js'

/**
 * Removes files of one directory, one after the other, beside whatever else happens: a cut of a long log frees a gigabyte, and nobody
 * is to wait for that. What a crash leaves of it is for whoever opens the directory.
 */
export class Removals {
  private paths: readonly string[] = []
  private isRunning = false
  private failed: Status | null = null
  private waiting: Done[] = []

  constructor(
    private readonly options: { readonly fileSystem: FileSystem; readonly directory: string; readonly failpoints: Failpoints },
    /** Something could not be removed. Once. */
    private readonly onFailure: (status: Status) => void,
  ) {}

  add(paths: readonly string[]): void {
    this.paths = [...this.paths, ...paths]
    if (!this.isRunning && !this.failed && this.paths.length > 0) this.run()
  }

  /** Calls `done` when nothing is left to be removed, durably; with the failure when there was one. */
  settled(done: Done): void {
    if (this.isRunning) this.waiting.push(done)
    else done(this.failed ?? Status.OK)
  }

  private run(): void {
    const { fileSystem, directory, failpoints } = this.options
    this.isRunning = true
    const paths = this.paths
    this.paths = []
    inSequence(
      [
        (next) => forEachInOrder(paths, (path, removed) => fileSystem.unlink(path, removed), next),
        point(failpoints, 'log.prefix-removed'),
        (next) => fileSystem.syncDir(directory, next),
      ],
      (status) => {
        if (status.ok && this.paths.length > 0) return this.run()
        this.isRunning = false
        if (!status.ok) this.failed = status
        const { waiting } = this
        this.waiting = []
        for (const done of waiting) done(status)
        if (!status.ok) this.onFailure(status)
      },
    )
  }
}
