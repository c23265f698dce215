import * as grpc from '@grpc/grpc-js'
import { crc32c } from '@node-rs/crc32'
import type { raftctl } from '../generated/raftctl.js'
import { ErrorCode, type Status } from '../raft/errors.js'
import type { SnapshotMeta, SnapshotReader } from '../raft/storage.js'
import { fromInt64 } from '../raft/types.js'
import { asFailure, DEFAULT_GROUP, failure, nodeOf, onExecutor, unary, usage } from './control-common.js'
import type { Control } from './control-definition.js'
import type { ControlHost, ControlledNode } from './control-host.js'
import type { Handlers } from './grpc.js'
import type { CallFailure, ServerStreamCall } from './grpc-call.js'
import { ARCHIVE_FORMAT, ARCHIVE_VERSION, type SnapshotManifest } from './snapshot-archive.js'
import { ArchiveError, ArchiveStream, describeFiles, type OnExecutor } from './snapshot-archive-writer.js'
import { isMissing, openSnapshot, type SnapshotInfos } from './snapshot-info.js'

type Chunk = raftctl.v1.SnapshotChunk.$Properties
type StreamCall = ServerStreamCall<raftctl.v1.StreamSnapshotRequest, Chunk>

/** Snapshots that may be sent at once: each pins one and reads the disk. */
const STREAMS_MAX = 4
/** While the files are still being read for the manifest, an empty chunk says that the node is alive. */
const SIGN_OF_LIFE_MS = 1000
const MANIFESTS_KEPT = 4

/** Snapshots on demand, and sent to an administrator as one archive. */
export class SnapshotControl {
  private readonly on: OnExecutor
  /** Manifests by what they are of: a copy that goes on later need not read everything again for one. */
  private readonly manifests = new Map<string, SnapshotManifest>()
  private streams = 0

  constructor(
    private readonly host: ControlHost,
    private readonly infos: SnapshotInfos,
  ) {
    this.on = (start) => onExecutor(host, start)
  }

  get handlers(): Pick<Handlers<(typeof Control)['methods']>, 'TriggerSnapshot' | 'ListSnapshots' | 'StreamSnapshot'> {
    return {
      TriggerSnapshot: unary((request) => this.trigger(request.group)),
      ListSnapshots: unary(async (request) => {
        const newest = await this.infos.newest(nodeOf(this.host, request.group))
        return { snapshots: newest ? [newest] : [] }
      }),
      StreamSnapshot: (call) => void this.stream(call),
    }
  }

  private async trigger(group: string): Promise<raftctl.v1.TriggerSnapshotResponse.$Properties> {
    const node = nodeOf(this.host, group)
    const startedAt = performance.now()
    const status = await this.on<Status>((done) => node.snapshot((outcome: Status, _meta?: SnapshotMeta) => done(outcome)))
    if (!status.ok) throw snapshotFailure(status, node)
    const snapshot = await this.infos.newest(node)
    return { ...(snapshot ? { snapshot } : {}), took_ms: Math.round(performance.now() - startedAt) }
  }

  private async stream(call: StreamCall): Promise<void> {
    let over = false
    const end = () => (over = true)
    call.on('cancelled', end)
    call.on('close', end)
    this.streams++
    try {
      if (this.streams > STREAMS_MAX) {
        const message = `${STREAMS_MAX} snapshots are being sent from ${this.host.identity.peerId.address}`
        throw failure(grpc.status.RESOURCE_EXHAUSTED, 'E_BUSY', message, { retryable: true })
      }
      await this.send(call, () => over)
      if (!over) call.end()
    } catch (error) {
      if (!over) call.fail(error instanceof ArchiveError ? archiveFailure(error) : asFailure(error as Error))
    } finally {
      this.streams--
    }
  }

  private async send(call: StreamCall, isOver: () => boolean): Promise<void> {
    const { group } = call.request
    const [index, offset] = [fromInt64(call.request.index), fromInt64(call.request.resume_offset)]
    const node = nodeOf(this.host, group)
    const { status, reader } = await openSnapshot(node, this.on)
    if (!reader) throw snapshotFailure(status, node)
    try {
      if (index !== 0 && reader.meta.lastIncluded.index !== index) throw gone(index, reader, node)
      const manifest = await this.manifestOf(node, reader, call, isOver)
      const stream = new ArchiveStream(reader, manifest, this.on)
      if (offset > stream.totalBytes) throw usage(`the snapshot has ${stream.totalBytes} bytes, fewer than ${offset}`)
      for await (const piece of stream.from(offset)) {
        if (isOver()) return
        const last = piece.isLast ? { sha256: stream.sha256 } : {}
        await written(call, { offset: piece.offset, data: piece.bytes, total_bytes: stream.totalBytes, ...last }, isOver)
      }
    } finally {
      await this.on<void>((done) => done(reader.close()))
    }
  }

  private async manifestOf(
    node: ControlledNode,
    reader: SnapshotReader,
    call: StreamCall,
    isOver: () => boolean,
  ): Promise<SnapshotManifest> {
    const { lastIncluded } = reader.meta
    const key = `${node.groupId} ${lastIncluded.index} ${lastIncluded.term} ${reader.path}`
    const known = this.manifests.get(key)
    if (known) return known
    const timer = setInterval(() => call.write({ offset: 0, total_bytes: 0 }), SIGN_OF_LIFE_MS)
    try {
      const files = await describeFiles(reader, { on: this.on, crc32c }, isOver)
      const manifest = await this.manifest(node, reader, files)
      this.manifests.set(key, manifest)
      for (const oldest of [...this.manifests.keys()].slice(0, -MANIFESTS_KEPT)) this.manifests.delete(oldest)
      return manifest
    } finally {
      clearInterval(timer)
    }
  }

  private async manifest(node: ControlledNode, reader: SnapshotReader, files: SnapshotManifest['files']): Promise<SnapshotManifest> {
    const { lastIncluded, configuration } = reader.meta
    const { machine } = await this.host.facts(node.groupId || DEFAULT_GROUP)
    const member = (role: string) => (peer: Parameters<ControlHost['nameOf']>[0]) => ({
      peerId: peer.toString(),
      name: this.host.nameOf(peer),
      role,
    })
    return {
      format: ARCHIVE_FORMAT,
      schemaVersion: ARCHIVE_VERSION,
      index: lastIncluded.index,
      term: lastIncluded.term,
      clusterId: this.host.identity.clusterId,
      group: node.groupId,
      machine,
      members: [...configuration.conf.peers.map(member('voter')), ...configuration.learners.map(member('learner'))],
      configIndex: configuration.configIndex,
      files,
    }
  }
}

/** Waits while the caller does not keep up. */
async function written(call: StreamCall, chunk: Chunk, isOver: () => boolean): Promise<void> {
  if (call.write(chunk) || isOver()) return
  await new Promise<void>((resolve) => {
    const go = () => {
      for (const event of ['drain', 'cancelled', 'close'] as const) call.off(event, go)
      resolve()
    }
    for (const event of ['drain', 'cancelled', 'close'] as const) call.once(event, go)
  })
}

function gone(index: number, reader: SnapshotReader, node: ControlledNode): CallFailure & Error {
  const message = `${node.peerId} has no snapshot ${index} any more: its newest is ${reader.meta.lastIncluded.index}`
  return failure(grpc.status.NOT_FOUND, 'E_NO_SNAPSHOT', message)
}

function snapshotFailure(status: Status, node: ControlledNode): CallFailure & Error {
  if (isMissing(status)) return failure(grpc.status.NOT_FOUND, 'E_NO_SNAPSHOT', `${node.peerId} has no snapshot`)
  switch (status.code) {
    case ErrorCode.EBUSY:
      return failure(grpc.status.RESOURCE_EXHAUSTED, 'E_BUSY', `${node.peerId}: ${status.message}`, { retryable: true })
    case ErrorCode.EINVAL:
      return failure(grpc.status.UNIMPLEMENTED, 'E_UNSUPPORTED', status.message)
    case ErrorCode.ENOSPC:
      return failure(grpc.status.RESOURCE_EXHAUSTED, 'E_NO_SPACE', status.message)
    case ErrorCode.ECORRUPT:
      return failure(grpc.status.DATA_LOSS, 'E_CORRUPT', status.message)
  }
  return failure(grpc.status.INTERNAL, 'E_SNAPSHOT_FAILED', `${node.peerId} could not make a snapshot: ${status}`)
}

function archiveFailure({ status }: ArchiveError): CallFailure & Error {
  if (status.code === ErrorCode.ECORRUPT) return failure(grpc.status.DATA_LOSS, 'E_CORRUPT', status.message)
  return failure(grpc.status.INTERNAL, 'E_SNAPSHOT_FAILED', `the snapshot could not be read: ${status}`)
}
