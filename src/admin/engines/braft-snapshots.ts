import { ErrorCode as Errno } from '../../raft/errors.js'
import { CliError, type ErrorCode } from '../../terminal/errors.js'
import type { BraftCalls } from './braft-calls.js'
import { beyondBraft } from './braft-limits.js'
import type { BraftPages } from './braft-pages.js'
import type { NodeCall } from './engine.js'
import {
  type SnapshotCopyCall,
  type SnapshotEngine,
  type SnapshotFacts,
  type SnapshotPiece,
  type StateHash,
  TAKE_TIMEOUT_MS,
} from './snapshots.js'

/** By error number; everything else that a node answers means that it failed to write one. */
const OUTCOMES: Readonly<Record<number, ErrorCode>> = {
  [Errno.EBUSY]: 'E_BUSY',
  [Errno.EINVAL]: 'E_UNSUPPORTED',
  [Errno.EACCES]: 'E_UNSUPPORTED',
  [Errno.ENOENT]: 'E_NO_GROUP',
}

/** Snapshots of braft nodes: taken on demand; of those that exist their place in the log is known, and nothing else. */
export class BraftSnapshots implements SnapshotEngine {
  constructor(
    private readonly calls: () => Promise<BraftCalls>,
    private readonly pages: BraftPages,
  ) {}

  async take({ endpoint, group }: NodeCall) {
    const { stat } = await this.pages.node(endpoint, group)
    const startedAt = performance.now()
    const settings = { timeoutMs: TAKE_TIMEOUT_MS, check: 'raftctl snapshot list' }
    const calls = await this.calls()
    await calls.snapshot({ endpoint, group: stat.group, node: stat.peerId }, settings).catch(failed)
    const tookMs = Math.round(performance.now() - startedAt)
    const [snapshot] = await this.list({ endpoint, group })
    return { snapshot: snapshot ?? null, tookMs }
  }

  async list({ endpoint, group }: NodeCall): Promise<readonly SnapshotFacts[]> {
    const { stat } = await this.pages.node(endpoint, group)
    if (stat.snapshotIndex === 0) return []
    return [{ index: stat.snapshotIndex, term: stat.snapshotTerm, bytes: null, ageMs: null, path: null, checksum: null }]
  }

  // biome-ignore lint/correctness/useYield: there is nothing to be read
  async *copy({ endpoint }: SnapshotCopyCall): AsyncGenerator<SnapshotPiece> {
    throw beyondBraft(endpoint, 'snapshotCopy')
  }

  async mark({ endpoint }: NodeCall): Promise<number> {
    throw beyondBraft(endpoint, 'consistency')
  }

  async hash({ endpoint }: NodeCall): Promise<StateHash> {
    throw beyondBraft(endpoint, 'consistency')
  }
}

/** A node that answered with an error took no snapshot, whatever the number. */
function failed(thrown: unknown): never {
  if (!(thrown instanceof CliError)) throw thrown
  const { braftCode, node, said } = thrown.details
  if (typeof braftCode !== 'number') throw thrown
  const code = OUTCOMES[braftCode] ?? 'E_SNAPSHOT_FAILED'
  const hint = code === 'E_BUSY' ? { hint: 'See when it is done, then ask again:  raftctl node status' } : {}
  throw new CliError(code, `${node}: ${said}`, { ...hint, details: { ...thrown.details, applied: 'no' }, cause: thrown })
}
