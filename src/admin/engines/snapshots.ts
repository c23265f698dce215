import type { raftctl } from '../../generated/raftctl.js'
import { fromInt64 } from '../../raft/types.js'
import type { CallOptions, ControlCalls, ControlClient } from './control-calls.js'
import type { NodeCall } from './engine.js'

type Int64 = Parameters<typeof fromInt64>[0]

/** A snapshot that a node has. */
export interface SnapshotFacts {
  readonly index: number
  readonly term: number
  /** Null where the node does not say, as the three that follow. */
  readonly bytes: number | null
  readonly ageMs: number | null
  readonly path: string | null
  /** Of its files, as it was recorded when they were written; null when none was. */
  readonly checksum: string | null
}

export interface SnapshotCopyCall extends NodeCall {
  /** Of the last entry in it; null: the newest. */
  readonly index: number | null
  /** Bytes of the archive that are here already. */
  readonly offset: number
}

export interface SnapshotPiece {
  /** In the archive. */
  readonly offset: number
  readonly bytes: Buffer
  /** 0 while the node is still reading. */
  readonly totalBytes: number
  /** Of the whole archive, in hex; with the last piece only. */
  readonly sha256: string | null
}

export interface StateHash {
  readonly sha256: string
  readonly keys: number
}

/** Taking a snapshot is waited for, whatever it takes: the node says when it cannot. */
export const TAKE_TIMEOUT_MS = 15 * 60_000

/** What a kind of cluster offers about the state of its machines. */
export interface SnapshotEngine {
  /** Has the node take a snapshot, or answer with the present one when nothing was applied since. */
  take(call: NodeCall): Promise<{ readonly snapshot: SnapshotFacts | null; readonly tookMs: number }>
  list(call: NodeCall): Promise<readonly SnapshotFacts[]>
  /** The archive of a snapshot, from an offset on. */
  copy(call: SnapshotCopyCall, signal: AbortSignal): AsyncGenerator<SnapshotPiece>
  /** Puts a mark into the log through the leader; answers its index. */
  mark(call: NodeCall): Promise<number>
  /** The hash of the node's state at a mark, once it has applied it. */
  hash(call: NodeCall & { readonly mark: number }): Promise<StateHash>
}

/** Over raftctl.v1.Control. */
export class ControlSnapshots implements SnapshotEngine {
  constructor(private readonly calls: ControlCalls) {}

  async take({ endpoint, group }: NodeCall) {
    const send = (client: ControlClient, options: CallOptions) => client.call('TriggerSnapshot', { group }, options)
    const { snapshot, took_ms } = await this.calls.write(endpoint, send, { timeoutMs: TAKE_TIMEOUT_MS, check: 'raftctl snapshot list' })
    return { snapshot: snapshot ? factsOf(snapshot) : null, tookMs: fromInt64(took_ms) }
  }

  async list({ endpoint, group }: NodeCall) {
    const { snapshots } = await this.calls.read(endpoint, (client, options) => client.call('ListSnapshots', { group }, options))
    return (snapshots ?? []).map(factsOf)
  }

  async *copy({ endpoint, group, index, offset }: SnapshotCopyCall, signal: AbortSignal): AsyncGenerator<SnapshotPiece> {
    const request = { group, index: index ?? 0, resume_offset: offset }
    const chunks = this.calls.stream(endpoint, (client, options) => client.serverStream('StreamSnapshot', request, options), signal)
    for await (const chunk of chunks) {
      const { data, sha256 } = chunk
      yield {
        offset: fromInt64(chunk.offset),
        bytes: Buffer.isBuffer(data) ? data : Buffer.from(data),
        totalBytes: fromInt64(chunk.total_bytes),
        sha256: sha256.length > 0 ? Buffer.from(sha256).toString('hex') : null,
      }
    }
  }

  async mark({ endpoint, group }: NodeCall) {
    const send = (client: ControlClient, options: CallOptions) => client.call('Mark', { group }, options)
    return fromInt64((await this.calls.write(endpoint, send, { check: 'raftctl check consistency' })).index)
  }

  async hash({ endpoint, group, mark }: NodeCall & { readonly mark: number }) {
    const { sha256, keys } = await this.calls.read(endpoint, (client, options) => client.call('HashState', { group, mark }, options))
    return { sha256: Buffer.from(sha256).toString('hex'), keys: fromInt64(keys) }
  }
}

function factsOf(info: raftctl.v1.SnapshotInfo.$Properties): SnapshotFacts {
  return {
    index: fromInt64(info.index as Int64),
    term: fromInt64(info.term as Int64),
    bytes: fromInt64(info.bytes as Int64),
    ageMs: fromInt64(info.age_ms as Int64),
    path: info.path ?? '',
    checksum: info.checksum || null,
  }
}
