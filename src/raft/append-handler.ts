import { AppendCache } from './append-cache.js'
import { ErrorCode, Status } from './errors.js'
import type { Answer, AppendEntriesRequest, AppendEntriesResponse } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import { DEFAULT_PRIORITY } from './precedence.js'
import { type LogIndex, maxIndex, minIndex, plus, type Term } from './types.js'

/** How far back the hint of a refused append looks for the start of a conflicting term. */
const CONFLICT_SCAN_MAX = 4096

/**
 * The follower's side of replication (Raft §5.3; braft NodeImpl::handle_append_entries_request).
 *
 * An answer leaves only when what it claims is durable: the term always, and for a success every entry up to the last one.
 */
export class AppendHandler {
  /** What came before what it follows. */
  readonly cache: AppendCache
  /** To the last request without entries. */
  private said: AppendEntriesResponse | null = null

  constructor(private readonly node: NodeImpl) {
    this.cache = new AppendCache(node, node.options.appendCacheSize ?? 0, (request, answer) => this.handle(request, answer, 'cache'))
  }

  handle(request: AppendEntriesRequest, answer: Answer<AppendEntriesResponse>, from: 'network' | 'cache' = 'network'): void {
    const { node } = this
    const refuse = node.refusal() ?? roleMismatch(node, request.peerId)
    if (refuse) {
      node.founding?.onLeaderHeard()
      return answer(refuse)
    }
    if (!isFollowed(node, request)) {
      // A closure that was told of a lost leadership may have stopped this node.
      const stopped = node.refusal()
      return stopped ? answer(stopped) : this.reject(answer, node.log.lastIndex)
    }
    // What comes from the cache was sent a while ago.
    if (from === 'network') node.stickiness.noteContact()
    if (!request.entries) node.precedence.onLeaderHeard(request.outranked ?? false)
    if (request.entries && node.snapshots.installer.isInstalling) return answer(Status.error(ErrorCode.EBUSY, 'Is installing snapshot'))
    if (!this.matches(request)) {
      if (from === 'network' && this.cache.keep(request, answer)) return
      return this.reject(answer, this.conflictHint(request))
    }
    if (!request.entries) return this.acceptEmpty(request, answer)
    if (node.space.isShort) return answer(Status.error(ErrorCode.ENOSPC, 'the disk runs short'))
    this.store(request, answer)
  }

  private matches(request: AppendEntriesRequest): boolean {
    const { log, ballotBox } = this.node
    const { prevLogIndex: prev, prevLogTerm } = request
    // What is committed here is in every later leader's log (Raft §5.4.3), also where this log no longer holds it.
    if (prev <= ballotBox.lastCommittedIndex) return true
    return prev <= log.lastIndex && log.termAt(prev) === prevLogTerm
  }

  /**
   * Where the leader should look next: this log's end, or, when that lies behind the conflict, the entry before the first
   * one of the conflicting term: a long divergent tail costs a round trip per term, not per entry (Raft §5.3).
   */
  private conflictHint(request: AppendEntriesRequest): LogIndex {
    const { log, ballotBox } = this.node
    if (request.prevLogIndex > log.lastIndex) return log.lastIndex
    const term = log.termAt(request.prevLogIndex)
    const floor = maxIndex(ballotBox.lastCommittedIndex, (request.prevLogIndex - CONFLICT_SCAN_MAX) as LogIndex)
    let index = request.prevLogIndex
    while (index > floor && log.termAt(index) === term) index = (index - 1) as LogIndex
    return index
  }

  private acceptEmpty(request: AppendEntriesRequest, answer: Answer<AppendEntriesResponse>): void {
    const { node } = this
    const { term } = request
    node.ballotBox.setLastCommitted(minIndex(request.committedIndex, request.prevLogIndex))
    if (node.meta.isDurable && node.meta.term === term) return answer(Status.OK, this.heldSo(node.log.lastIndex))
    node.meta.whenDurable((status) => {
      if (!status.ok) return answer(status)
      if (node.meta.term !== term) return this.reject(answer, node.log.lastIndex)
      answer(Status.OK, this.response({ success: true, lastLogIndex: node.log.lastIndex }))
    })
  }

  private store(request: AppendEntriesRequest, answer: Answer<AppendEntriesResponse>): void {
    const { node } = this
    const batch = request.entries!
    const { term } = request
    if (batch.firstIndex !== plus(request.prevLogIndex, 1)) {
      return answer(Status.error(ErrorCode.EINVAL, `entries start at ${batch.firstIndex}, not after ${request.prevLogIndex}`))
    }
    if (!node.witness.isOne && batch.newestBare !== null)
      return answer(Status.error(ErrorCode.EREQUEST, `entry ${batch.newestBare} came without its data, as for a witness`))
    const last = batch.lastIndex
    node.log.reconcile(batch, (written) => {
      // Cut off again by a newer leader before it was written.
      if (written.code === ErrorCode.ECANCELED) return this.reject(answer, node.log.lastIndex)
      if (!written.ok) return answer(Status.error(ErrorCode.EIO, written.message))
      node.meta.whenDurable((status) => {
        if (!status.ok) return answer(status)
        if (node.meta.term !== term) return this.reject(answer, node.log.lastIndex)
        node.ballotBox.setLastCommitted(minIndex(request.committedIndex, last))
        node.survey?.onHeld()
        answer(Status.OK, this.response({ success: true, lastLogIndex: last }))
      })
    })
    this.cache.onAppended(last)
  }

  private reject(answer: Answer<AppendEntriesResponse>, lastLogIndex: LogIndex): void {
    this.node.meta.whenDurable((status) => {
      if (!status.ok) return answer(status)
      answer(Status.OK, this.response({ success: false, lastLogIndex }))
    })
  }

  /** The last one, where it says the same: to thousands of idle groups it is said all day. */
  private heldSo(lastLogIndex: LogIndex): AppendEntriesResponse {
    const { meta, readOnly, space, isRebuilding, precedence } = this.node
    const { said } = this
    const isSame =
      said !== null &&
      said.lastLogIndex === lastLogIndex &&
      said.term === meta.term &&
      said.readonly === readOnly.isOn &&
      said.short === space.isShort &&
      said.rebuilding === isRebuilding &&
      (said.priority ?? DEFAULT_PRIORITY) === precedence.own
    if (isSame) return said
    this.said = this.response({ success: true, lastLogIndex })
    return this.said
  }

  private response(fields: Pick<AppendEntriesResponse, 'success' | 'lastLogIndex'>): AppendEntriesResponse {
    const { meta, readOnly, space, isRebuilding, precedence } = this.node
    const { success, lastLogIndex } = fields
    const { own } = precedence
    const said = { term: meta.term, success, lastLogIndex, readonly: readOnly.isOn, short: space.isShort, rebuilding: isRebuilding }
    return own === DEFAULT_PRIORITY ? said : { ...said, priority: own }
  }
}

/** Whoever takes this member for a witness, or a witness for one that holds data, counts on what is not so. Null: it does not. */
export function roleMismatch({ serverId }: NodeImpl, addressed: PeerId): Status | null {
  if (addressed.role === serverId.role) return null
  const [is, called] = serverId.isWitness ? ['is a witness', 'that holds data'] : ['holds data', 'that is a witness']
  return Status.error(ErrorCode.EREQUEST, `${serverId} ${is}, and is called a member ${called}: remove it, and add it as what it is`)
}

/**
 * Whether the sender is the leader that is followed here, after stepping down to it where that is due; false: its word counts
 * for nothing. Two leaders in one term: somebody is broken; the term is left, so that neither goes on in it (ELEADERCONFLICT).
 */
export function isFollowed(node: NodeImpl, { term, serverId }: { readonly term: Term; readonly serverId: PeerId }): boolean {
  if (term < node.meta.term) return false
  const newer = term > node.meta.term
  const leads = node.state === 'LEADER' || node.state === 'TRANSFERRING'
  if (newer || (node.state !== 'FOLLOWER' && !leads))
    node.stepDown(term, Status.error(ErrorCode.ENEWLEADER, `${serverId} leads term ${term}`))
  if (node.leaderId.isEmpty && node.isActive()) node.follow(serverId)
  if (!node.isActive()) return false
  if (serverId.equals(node.leaderId)) return true
  const what = `${serverId} and ${node.leaderId} both lead term ${term}`
  node.stepDown((term + 1) as Term, Status.error(ErrorCode.ELEADERCONFLICT, what))
  return false
}
