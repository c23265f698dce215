import { braft } from '../generated/braft.js'
import type { Checksum, Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Addressed, Answer, PeerHandler, RequestVoteRequest } from '../raft/messages.js'
import { PeerId } from '../raft/peer-id.js'
import type { Term } from '../raft/types.js'
import type { Faults } from './faults.js'
import { optional, repeated, required } from './json-message.js'
import type { ManagedNode, NodeManager } from './node-manager.js'
import {
  appendResponseMessage,
  BadRequest,
  entriesOf,
  indexOf,
  peerOf,
  snapshotMetaOf,
  termLeaderOf,
  termOf,
  voteResponseMessage,
} from './raft-messages.js'
import { type CallConnection, type CallContext, type Reply, type RpcService, rpcMethod } from './service.js'

/** Whom braft.RaftService speaks for. */
export interface RaftServiceOptions {
  readonly nodes: NodeManager
  readonly executor: Executor
  readonly checksum: Checksum
  readonly faults?: Faults
  /** Whether braft nodes may be members of this group. raftctl nodes speak raftctl.v1.Peer to each other. */
  readonly allowBraftPeers?: (groupId: string) => boolean
  /** A braft node called, and was taken or refused. */
  readonly onBraftPeer?: (groupId: string, peer: PeerId, taken: boolean) => void
}

/**
 * braft.RaftService: how braft nodes speak to a node here. Each call is checked as braft checks it, translated, and given
 * to the node's handler on the executor.
 *
 * A caller here is braft: it says nothing of cluster, incarnation or standing, so it is refused (EPERM) unless the group
 * is marked for it. It does not learn that an acknowledgement comes from a directory that does not count yet; such a directory votes
 * for nobody, and acknowledges nothing here before its survey says that it may. An empty append is an acknowledgement too: by its
 * answer braft finds a new member caught up, and its leader a quorum alive. So the leader is followed, and told nothing but a later term.
 */
export function raftService(options: RaftServiceOptions): RpcService {
  const raft = new RaftHandlers(options)
  const methods = {
    pre_vote: rpcMethod({
      request: braft.RequestVoteRequest,
      response: braft.RequestVoteResponse,
      json: { request: VOTE_REQUEST, response: VOTE_RESPONSE },
      handle: (request, context, done) =>
        raft.vote(request, { context, done }, (handler, vote, answer) => handler.handlePreVote(vote, answer)),
    }),
    request_vote: rpcMethod({
      request: braft.RequestVoteRequest,
      response: braft.RequestVoteResponse,
      json: { request: VOTE_REQUEST, response: VOTE_RESPONSE },
      handle: (request, context, done) =>
        raft.vote(request, { context, done }, (handler, vote, answer) => handler.handleRequestVote(vote, answer)),
    }),
    append_entries: rpcMethod({
      request: braft.AppendEntriesRequest,
      response: braft.AppendEntriesResponse,
      json: { request: APPEND_REQUEST, response: APPEND_RESPONSE },
      handle: (request, context, done) => raft.append(request, { context, done }),
    }),
    install_snapshot: rpcMethod({
      request: braft.InstallSnapshotRequest,
      response: braft.InstallSnapshotResponse,
      json: { request: INSTALL_REQUEST, response: TERM_AND_SUCCESS },
      handle: (request, context, done) => raft.install(request, { context, done }),
    }),
    timeout_now: rpcMethod({
      request: braft.TimeoutNowRequest,
      response: braft.TimeoutNowResponse,
      json: { request: { ...ADDRESS, term: required('int64'), old_leader_stepped_down: optional('bool') }, response: TERM_AND_SUCCESS },
      handle: (request, context, done) => raft.timeoutNow(request, { context, done }),
    }),
  }
  return { name: 'braft.RaftService', methods }
}

interface WireAddress {
  readonly group_id: string
  readonly server_id: string
  readonly peer_id: string
}

/** A call that came in, and where its answer goes. */
interface Incoming<R> {
  readonly context: CallContext
  readonly done: Reply<R>
}

type Run<R> = (node: ManagedNode, answer: Reply<R>) => void

class RaftHandlers {
  private readonly leaders: LeaderConnections

  constructor(private readonly options: RaftServiceOptions) {
    this.leaders = new LeaderConnections(options)
  }

  vote(
    request: braft.RequestVoteRequest,
    call: Incoming<braft.RequestVoteResponse.$Properties>,
    ask: (handler: PeerHandler, vote: RequestVoteRequest, answer: Parameters<PeerHandler['handlePreVote']>[1]) => void,
  ): void {
    this.route(request, call, ({ handler, peerId }, answer) => {
      const vote = {
        groupId: request.group_id,
        serverId: peerOf(request.server_id, 'server_id', ErrorCode.EINVAL),
        peerId,
        term: termOf(request.term),
        lastLogTerm: termOf(request.last_log_term, 'last_log_term'),
        lastLogIndex: indexOf(request.last_log_index, 'last_log_index'),
        disruptedLeader: termLeaderOf(request.disrupted_leader),
      }
      ask(handler, vote, answering(answer, voteResponseMessage))
    })
  }

  append(request: braft.AppendEntriesRequest, call: Incoming<braft.AppendEntriesResponse.$Properties>): void {
    this.route(request, call, ({ handler, peerId, countsForBraft }, answer) => {
      const append = {
        groupId: request.group_id,
        serverId: peerOf(request.server_id, 'server_id', ErrorCode.EREQUEST),
        peerId,
        term: termOf(request.term),
        prevLogTerm: termOf(request.prev_log_term, 'prev_log_term'),
        prevLogIndex: indexOf(request.prev_log_index, 'prev_log_index'),
        committedIndex: indexOf(request.committed_index, 'committed_index'),
        entries: entriesOf(request, call.context, this.options.checksum),
      }
      this.leaders.note(call.context, append)
      const heard = countsForBraft ? append : { ...append, entries: null }
      handler.handleAppendEntries(heard, (status, response) => {
        if (!status.ok) return answer(status)
        if (!countsForBraft && response!.term <= append.term) return answer(notCounted(peerId))
        answer(status, appendResponseMessage(response!, append.entries !== null))
      })
    })
  }

  install(request: braft.InstallSnapshotRequest, call: Incoming<braft.InstallSnapshotResponse.$Properties>): void {
    this.route(request, call, ({ handler, peerId, countsForBraft }, answer) => {
      if (!countsForBraft) return answer(notCounted(peerId))
      const install = {
        groupId: request.group_id,
        serverId: peerOf(request.server_id, 'server_id', ErrorCode.EREQUEST),
        peerId,
        term: termOf(request.term),
        meta: snapshotMetaOf(request.meta, (text) => peerOf(text, 'peers', ErrorCode.EREQUEST)),
        uri: request.uri,
      }
      handler.handleInstallSnapshot(install, answering(answer, termAndSuccess))
    })
  }

  /** braft does not look at the sender of timeout_now. */
  timeoutNow(request: braft.TimeoutNowRequest, call: Incoming<braft.TimeoutNowResponse.$Properties>): void {
    this.route(request, call, ({ handler, peerId }, answer) => {
      const timeoutNow = {
        groupId: request.group_id,
        serverId: PeerId.parse(request.server_id) ?? PeerId.EMPTY,
        peerId,
        term: termOf(request.term),
        oldLeaderSteppedDown: request.old_leader_stepped_down ?? false,
      }
      handler.handleTimeoutNow(timeoutNow, answering(answer, termAndSuccess))
    })
  }

  /** braft's checks of every call, on the executor; `run` may throw BadRequest. */
  private route<R>(request: WireAddress, { context, done }: Incoming<R>, run: Run<R>): void {
    const { nodes, executor, faults, allowBraftPeers, onBraftPeer } = this.options
    const peerId = PeerId.parse(request.peer_id)
    if (!peerId) return done(Status.error(ErrorCode.EINVAL, 'peer_id invalid'))
    const from = PeerId.parse(request.server_id)
    if (from && faults?.isCutFrom(from)) return context.drop()
    const answer: Reply<R> = (...outcome) => {
      if (!from || !faults) return done(...outcome)
      if (faults.isCutTo(from) || faults.loses(from)) return context.drop()
      const delayMs = faults.delayTo(from)
      if (delayMs > 0) setTimeout(() => done(...outcome), delayMs)
      else done(...outcome)
    }
    executor.post(() => {
      const node = nodes.get(request.group_id, peerId)
      if (!node) return answer(Status.error(ErrorCode.ENOENT, 'peer_id not exist'))
      const taken = allowBraftPeers?.(request.group_id) === true
      if (from) onBraftPeer?.(request.group_id, from, taken)
      if (!taken) return answer(Status.error(ErrorCode.EPERM, `group ${request.group_id} takes no braft members`))
      try {
        run(node, answer)
      } catch (error) {
        if (!(error instanceof BadRequest)) throw error
        answer(error.status)
      }
    }, 'braft request')
  }
}

/** The connections by which braft leaders append: one that is lost says that its leader may be gone. */
class LeaderConnections {
  private readonly noted = new WeakMap<CallConnection, Map<string, Addressed>>()

  constructor(private readonly options: RaftServiceOptions) {}

  note({ connection }: CallContext, append: Addressed): void {
    if (!connection) return
    let routes = this.noted.get(connection)
    if (!routes) {
      const known = (routes = new Map<string, Addressed>())
      this.noted.set(connection, known)
      connection.onClose(() => {
        for (const route of known.values()) this.lost(route)
      })
    }
    const { groupId, serverId, peerId } = append
    routes.set(`${peerId.key} ${groupId}`, { groupId, serverId, peerId })
  }

  private lost({ groupId, serverId, peerId }: Addressed): void {
    const { nodes, executor } = this.options
    executor.post(() => nodes.get(groupId, peerId)?.handler.handleStreamBroken(serverId), 'append connection lost')
  }
}

function answering<R, M>(done: Reply<M>, toMessage: (response: R) => M): Answer<R> {
  return (status, response) => (status.ok ? done(status, toMessage(response!)) : done(status))
}

/** It tries again after a heartbeat. */
function notCounted(peerId: PeerId): Status {
  return Status.error(ErrorCode.EAGAIN, `${peerId} has no past that it knows of, and has not asked all other members yet`)
}

function termAndSuccess({ term, success }: { readonly term: Term; readonly success: boolean }) {
  return { term, success }
}

const ADDRESS = { group_id: required('string'), server_id: required('string'), peer_id: required('string') }
const TERM_AND_SUCCESS = { term: required('int64'), success: required('bool') }
const VOTE_REQUEST = {
  ...ADDRESS,
  term: required('int64'),
  last_log_term: required('int64'),
  last_log_index: required('int64'),
  disrupted_leader: optional({ peer_id: required('string'), term: required('int64') }),
}
const VOTE_RESPONSE = {
  term: required('int64'),
  granted: required('bool'),
  disrupted: optional('bool'),
  previous_term: optional('int64'),
  rejected_by_lease: optional('bool'),
}
const APPEND_REQUEST = {
  ...ADDRESS,
  term: required('int64'),
  prev_log_term: required('int64'),
  prev_log_index: required('int64'),
  entries: repeated({
    term: required('int64'),
    type: required('int32'),
    peers: repeated('string'),
    data_len: optional('int64'),
    old_peers: repeated('string'),
  }),
  committed_index: required('int64'),
}
const APPEND_RESPONSE = { ...TERM_AND_SUCCESS, last_log_index: optional('int64'), readonly: optional('bool') }
const INSTALL_REQUEST = {
  ...ADDRESS,
  term: required('int64'),
  meta: required({
    last_included_index: required('int64'),
    last_included_term: required('int64'),
    peers: repeated('string'),
    old_peers: repeated('string'),
  }),
  uri: required('string'),
}
