import { isFollowed, roleMismatch } from './append-handler.js'
import { ErrorCode, ErrorType, RaftError, Status } from './errors.js'
import type { Answer, InstallSnapshotRequest, InstallSnapshotResponse } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import { PeerId } from './peer-id.js'
import { type CopyFailure, SnapshotCopier } from './snapshot-copier.js'
import type { SnapshotExecutor } from './snapshot-executor.js'
import { SnapshotFetcher } from './snapshot-fetcher.js'
import type { SnapshotReader } from './storage.js'

interface Installation {
  request: InstallSnapshotRequest
  /** Null once it was answered: the copy may go on for the next call. */
  answer: Answer<InstallSnapshotResponse> | null
  readonly startedAt: number
  copier: SnapshotCopier | null
  /** Of those that the last snapshot had already. */
  filesReused: number
  /** The copy is over, however it ended: others may begin theirs. */
  readonly finishTask: () => void
  /** The copy is given up; its end is awaited. */
  cancelled: boolean
  /** Copy again when this copy has ended: the same snapshot is offered from elsewhere. */
  again: boolean
}

/**
 * The follower's side of installing a snapshot (braft §4.10): copy it, load it, tell the log, answer.
 *
 * The call is held all the while. The same snapshot offered again takes the place of the call before, which is answered
 * EINTR. Meanwhile entries are refused, heartbeats are fine, and this member does not campaign. A leader that is followed no
 * more ends the copy, but not a load that has begun: that snapshot is as good under any leader.
 */
export class SnapshotInstaller {
  private current: Installation | null = null

  constructor(
    private readonly node: NodeImpl,
    private readonly executor: SnapshotExecutor,
  ) {}

  get isInstalling(): boolean {
    return this.current !== null
  }

  get bytesDone(): number {
    return this.current?.copier?.bytesDone ?? 0
  }

  get bytesTotal(): number {
    return this.current?.copier?.bytesTotal ?? 0
  }

  handle(request: InstallSnapshotRequest, answer: Answer<InstallSnapshotResponse>): void {
    const { node, executor } = this
    if (!executor.storage) return answer(Status.error(ErrorCode.EINVAL, 'Not support snapshot'))
    const refuse = node.refusal() ?? roleMismatch(node, request.peerId)
    if (refuse) return answer(refuse)
    if (!isFollowed(node, request)) {
      const stopped = node.refusal()
      return stopped ? answer(stopped) : this.respond(answer, false)
    }
    const { lastIncluded } = request.meta
    if (lastIncluded.index <= executor.lastId.index || this.isCovered(request)) return this.respond(answer, true)
    if (this.current) return this.join(this.current, request, answer)
    if (executor.activity !== 'idle') return answer(Status.error(ErrorCode.EBUSY, 'Is saving snapshot'))
    if (!parseUri(request)) return answer(Status.error(ErrorCode.EINVAL, `Fail to parse uri=${request.uri}`))
    // The reserve is for the log: a write of it that fails ends the node.
    if (node.space.isShort) return answer(Status.error(ErrorCode.ENOSPC, 'the disk runs short'))
    const finishTask = this.beginTask()
    if (!finishTask) return answer(Status.error(ErrorCode.EBUSY, 'as many snapshots are being copied to here as may be at a time'))
    this.current = {
      request,
      answer,
      startedAt: node.env.clock.now(),
      copier: null,
      filesReused: 0,
      finishTask,
      cancelled: false,
      again: false,
    }
    this.copy(this.current)
  }

  /** The leader is lost, or the node ends: gives the copy up. */
  interrupt(reason: Status): void {
    const { current } = this
    if (!current?.copier || this.executor.activity !== 'downloading') return
    this.tell(current, Status.error(ErrorCode.ECANCELED, `the copy was given up: ${reason.message}`))
    current.cancelled = true
    current.again = false
    current.copier.cancel(reason)
  }

  private beginTask(): (() => void) | null {
    const { installTasks } = this.node.options
    return installTasks ? installTasks.begin() : () => {}
  }

  /** Everything in it is committed here, or in the log with the same end: then the leader's word commits it (Raft §5.4). */
  private isCovered({ meta: { lastIncluded } }: InstallSnapshotRequest): boolean {
    const { log, ballotBox } = this.node
    if (lastIncluded.index <= ballotBox.lastCommittedIndex) return true
    if (this.current || lastIncluded.index > log.lastIndex || log.termAt(lastIncluded.index) !== lastIncluded.term) return false
    ballotBox.setLastCommitted(lastIncluded.index)
    return true
  }

  private join(current: Installation, request: InstallSnapshotRequest, answer: Answer<InstallSnapshotResponse>): void {
    const offered = request.meta.lastIncluded
    const present = current.request.meta.lastIncluded
    const isLoading = this.executor.activity === 'loading'
    if (offered.index === present.index && offered.term === present.term && !current.cancelled) {
      if (!isLoading && !parseUri(request)) return answer(Status.error(ErrorCode.EINVAL, `Fail to parse uri=${request.uri}`))
      this.tell(current, Status.error(ErrorCode.EINTR, 'the same snapshot was offered again'))
      const moved = request.uri !== current.request.uri
      current.request = request
      current.answer = answer
      if (moved && !isLoading) {
        current.again = true
        current.copier?.cancel(Status.error(ErrorCode.EINTR, 'it is offered from elsewhere'))
      }
      return
    }
    if (offered.index < present.index) return answer(Status.error(ErrorCode.EINVAL, 'a newer snapshot is being installed'))
    if (!isLoading) this.interrupt(Status.error(ErrorCode.EBUSY, 'a newer snapshot is offered'))
    answer(Status.error(ErrorCode.EBUSY, `snapshot ${present.index} is being ${isLoading ? 'loaded' : 'copied'}`))
  }

  private copy(current: Installation): void {
    const { node, executor } = this
    const { source, readerId } = parseUri(current.request)!
    executor.activity = 'downloading'
    const fetcher = new SnapshotFetcher(node, source, readerId)
    executor.hold()
    current.copier = new SnapshotCopier({
      node,
      meta: current.request.meta,
      source,
      fetcher,
      done: (failure, reader) => {
        current.filesReused = current.copier!.filesReused
        current.copier = null
        if (failure) this.copyFailed(current, failure)
        else {
          current.finishTask()
          this.load(current, reader!)
        }
        executor.release()
      },
    })
    current.copier.start()
  }

  private copyFailed(current: Installation, { status, isLocal }: CopyFailure): void {
    const { node } = this
    if (current.again && !isLocal && !node.error && !node.isStopping()) {
      current.again = false
      return this.copy(current)
    }
    current.finishTask()
    this.finish(current, status)
    if (isLocal && status.code === ErrorCode.EIO) node.onError(new RaftError(ErrorType.SNAPSHOT, status))
  }

  private load(current: Installation, reader: SnapshotReader): void {
    const { node, executor } = this
    executor.activity = 'loading'
    node.env.failpoints.hit('install.copied')
    node.fsmCaller.loadSnapshot(reader, (status) => {
      reader.close()
      // Older than what was applied meanwhile: then it is part of that.
      node.env.failpoints.hit('install.loaded')
      const isHeld = status.ok || status.code === ErrorCode.ESTALE
      if (isHeld) executor.adopt(reader.meta)
      node.env.failpoints.hit('install.done')
      this.finish(current, isHeld ? Status.OK : status)
    })
  }

  private finish(current: Installation, status: Status): void {
    const { node, executor } = this
    if (this.current !== current) return
    this.current = null
    executor.activity = 'idle'
    const { index, term: snapshotTerm } = current.request.meta.lastIncluded
    if (status.ok) {
      const { filesReused, startedAt } = current
      node.observe({ name: 'snapshot.installed', index, snapshotTerm, tookMs: node.env.clock.now() - startedAt, filesReused })
      const { answer } = current
      if (answer) this.respond(answer, true)
      return
    }
    if (!node.isStopping()) node.observe({ name: 'snapshot.failed', what: 'install', status })
    this.tell(current, status)
  }

  private tell(current: Installation, status: Status): void {
    const { answer } = current
    current.answer = null
    answer?.(status)
  }

  private respond(answer: Answer<InstallSnapshotResponse>, success: boolean): void {
    const { meta, log } = this.node
    const reply = () => meta.whenDurable((status) => (status.ok ? answer(Status.OK, { term: meta.term, success }) : answer(status)))
    if (!success) return reply()
    // The leader takes it for held: the log must be as durable as the snapshot.
    log.whenDurable((status) => (status.ok ? reply() : answer(status)))
  }
}

/** `remote://host:port/reader`; the reader is a signed 64-bit number. */
function parseUri({ uri, serverId }: InstallSnapshotRequest): { source: PeerId; readerId: string } | null {
  const parts = /^remote:\/\/([^/]+)\/(-?\d{1,19})$/.exec(uri)
  if (!parts) return null
  if (parts[1] === serverId.address) return { source: serverId, readerId: parts[2]! }
  const source = PeerId.parse(`${parts[1]}:0:0`)
  return source && { source, readerId: parts[2]! }
}
