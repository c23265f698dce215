import type { Done } from '../raft/closure.js'
import type { File } from '../raft/environment.js'
import { assert, Status } from '../raft/errors.js'
import { type EntryBatch, EntryType } from '../raft/log-entry.js'
import { plus } from '../raft/types.js'

/**
 * When appended entries become durable (braft raft_sync, raft_sync_policy, raft_sync_per_bytes).
 *
 * - `immediately`: before they are acknowledged.
 * - `by-bytes`: when so many bytes wait for it, and when a configuration is among them.
 * - `never`: only before a segment is sealed, before the log is cut, and when it is closed.
 *
 * All but `immediately` lose acknowledged entries when members lose power, and those members vote on as if they had lost none: entries
 * that a majority acknowledged may be gone for the whole group. Term and vote are always durable first.
 */
export type SyncPolicy = { readonly when: 'immediately' | 'never' } | { readonly when: 'by-bytes'; readonly bytes: number }

/** Nothing is acknowledged that is not durable: what a node does unless it is told otherwise. */
export const SYNC_IMMEDIATELY: SyncPolicy = { when: 'immediately' }

/** How a policy is said to a person: `immediately`, `never`, or a number of bytes. */
export function describeSync(policy: SyncPolicy): string {
  return policy.when === 'by-bytes' ? String(policy.bytes) : policy.when
}

/** Knows what of the open segment waits to become durable, and when that is due. Owned by SegmentLogStorage. */
export class LogSync {
  private waitingBytes = 0

  constructor(private readonly policy: SyncPolicy) {
    assert(policy.when !== 'by-bytes' || policy.bytes >= 1, 'no number of bytes to sync after', { ...policy })
  }

  /** Every write to the open segment is durable when it ends. */
  get isImmediate(): boolean {
    return this.policy.when === 'immediately'
  }

  /** After `parts` were written to `file`: makes durable what is due. Answers whether everything in it is durable now. */
  afterWrite(file: File, parts: readonly EntryBatch[], done: (status: Status, isDurable?: boolean) => void): void {
    if (this.isImmediate) return done(Status.OK, true)
    for (const part of parts) this.waitingBytes += part.byteLength
    if (!this.isDue(parts)) return done(Status.OK, false)
    this.flush(file, (status) => done(status, status.ok))
  }

  /** Makes durable what waits for it. `file` is that of the open segment. */
  flush(file: File | null, done: Done): void {
    if (this.waitingBytes === 0 || !file) return done(Status.OK)
    file.datasync((status) => {
      if (status.ok) this.waitingBytes = 0
      done(status)
    })
  }

  private isDue(parts: readonly EntryBatch[]): boolean {
    return this.policy.when === 'by-bytes' && (this.waitingBytes >= this.policy.bytes || parts.some(holdsConfiguration))
  }
}

function holdsConfiguration(batch: EntryBatch): boolean {
  for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1)) {
    if (batch.typeAt(index) === EntryType.CONFIGURATION) return true
  }
  return false
}
