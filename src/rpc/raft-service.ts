import { braft } from '../generated/braft.js'
import type { Checksum, Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Answer, PeerHandler, RequestVoteRequest } from '../raft/messages.js'
import { PeerId } from '../raft/peer-id.js'
import { optional, repeated, required } from './json-message.js'
import type { NodeManager } from './node-manager.js'
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
import { type CallContext, type Reply, type RpcService, rpcMethod } from './service.js'

export interface RaftServiceOptions {
  readonly nodes: NodeManager
  readonly executor: Executor
  readonly checksum: Checksum
  /** Whether braft nodes may be members of this group. raftctl nodes speak raftctl.v1.Peer to each other. */
  readonly allowBraftPeers?: (groupId: string) => boolean
}

/**
 * braft.RaftService: how braft nodes speak to a node here. Each call is checked as braft checks it, translated, and given
 * to the node's handler on the executor.
 *
 * A caller here is braft: it says nothing of cluster, incarnation or standing, so it is refused (EPERM) unless the group
 * is marked for it. An answer of a member that is being rebuilt is an error to braft, which would count it as a vote or
 * an acknowledgement.
 */
export function raftService(options: RaftServiceOptions): RpcService {
  const raft = new RaftHandlers(options)
  const methods = {
    pre_vote: rpcMethod({
      request: braft.RequestVoteRequest,
      response: braft.RequestVoteResponse,
      json: { request: VOTE_REQUEST, response: VOTE_RESPONSE },
      handle: (request, _context, done) => raft.vote(request, done, (handler, vote, answer) => handler.handlePreVote(vote, answer)),
    }),
    request_vote: rpcMethod({
      request: braft.RequestVoteRequest,
      response: braft.RequestVoteResponse,
      json: { request: VOTE_REQUEST, response: VOTE_RESPONSE },
      handle: (request, _context, done) => raft.vote(request, done, (handler, vote, answer) => handler.handleRequestVote(vote, answer)),
    }),
    append_entries: rpcMethod({
      request: braft.AppendEntriesRequest,
      response: braft.AppendEntriesResponse,
      json: { request: APPEND_REQUEST, response: APPEND_RESPONSE },
      handle: (request, context, done) => raft.append(request, context, done),
    }),
    install_snapshot: rpcMethod({
      request: braft.InstallSnapshotRequest,
      response: braft.InstallSnapshotResponse,
      json: { request: INSTALL_REQUEST, response: TERM_AND_SUCCESS },
      handle: (request, _context, done) => raft.install(request, done),
    }),
    timeout_now: rpcMethod({
      request: braft.TimeoutNowRequest,
      response: braft.TimeoutNowResponse,
      json: { request: { ...ADDRESS, term: required('int64'), old_leader_stepped_down: optional('bool') }, response: TERM_AND_SUCCESS },
      handle: (request, _context, done) => raft.timeoutNow(request, done),
    }),
  }
  return { name: 'braft.RaftService', methods }
}

interface WireAddress {
  readonly group_id: string
  readonly server_id: string
  readonly peer_id: string
}

class RaftHandlers {
  constructor(private readonly options: RaftServiceOptions) {}

  vote(
    request: braft.RequestVoteRequest,
    done: Reply<braft.RequestVoteResponse.$Properties>,
    ask: (handler: PeerHandler, vote: RequestVoteRequest, answer: Parameters<PeerHandler['handlePreVote']>[1]) => void,
  ): void {
    this.route(request, done, (handler, peerId) => {
      const vote = {
        groupId: request.group_id,
        serverId: peerOf(request.server_id, 'server_id', ErrorCode.EINVAL),
        peerId,
        term: termOf(request.term),
        lastLogTerm: termOf(request.last_log_term, 'last_log_term'),
        lastLogIndex: indexOf(request.last_log_index, 'last_log_index'),
        disruptedLeader: termLeaderOf(request.disrupted_leader),
      }
      ask(handler, vote, answering(done, voteResponseMessage))
    })
  }

  append(request: braft.AppendEntriesRequest, context: CallContext, done: Reply<braft.AppendEntriesResponse.$Properties>): void {
    this.route(request, done, (handler, peerId) => {
      const append = {
        groupId: request.group_id,
        serverId: peerOf(request.server_id, 'server_id', ErrorCode.EREQUEST),
        peerId,
        term: termOf(request.term),
        prevLogTerm: termOf(request.prev_log_term, 'prev_log_term'),
        prevLogIndex: indexOf(request.prev_log_index, 'prev_log_index'),
        committedIndex: indexOf(request.committed_index, 'committed_index'),
        entries: entriesOf(request, context, this.options.checksum),
      }
      handler.handleAppendEntries(append, (status, response) => {
        if (!status.ok) return done(status)
        if (response!.success && response!.rebuilding) return done(Status.error(ErrorCode.EAGAIN, `${peerId} is being rebuilt`))
        done(status, appendResponseMessage(response!, append.entries !== null))
      })
    })
  }

  install(request: braft.InstallSnapshotRequest, done: Reply<braft.InstallSnapshotResponse.$Properties>): void {
    this.route(request, done, (handler, peerId) => {
      const install = {
        groupId: request.group_id,
        serverId: peerOf(request.server_id, 'server_id', ErrorCode.EREQUEST),
        peerId,
        term: termOf(request.term),
        meta: snapshotMetaOf(request.meta, (text) => peerOf(text, 'peers', ErrorCode.EREQUEST)),
        uri: request.uri,
      }
      handler.handleInstallSnapshot(
        install,
        answering(done, (response) => ({ term: response.term, success: response.success })),
      )
    })
  }

  /** braft does not look at the sender of timeout_now. */
  timeoutNow(request: braft.TimeoutNowRequest, done: Reply<braft.TimeoutNowResponse.$Properties>): void {
    this.route(request, done, (handler, peerId) => {
      const timeoutNow = {
        groupId: request.group_id,
        serverId: PeerId.parse(request.server_id) ?? PeerId.EMPTY,
        peerId,
        term: termOf(request.term),
        oldLeaderSteppedDown: request.old_leader_stepped_down ?? false,
      }
      handler.handleTimeoutNow(
        timeoutNow,
        answering(done, (response) => ({ term: response.term, success: response.success })),
      )
    })
  }

  /** braft's checks of every call, on the executor; `run` may throw BadRequest. */
  private route(request: WireAddress, done: Reply<never>, run: (handler: PeerHandler, peerId: PeerId) => void): void {
    const { nodes, executor, allowBraftPeers } = this.options
    const peerId = PeerId.parse(request.peer_id)
    if (!peerId) return done(Status.error(ErrorCode.EINVAL, 'peer_id invalid'))
    executor.post(() => {
      const node = nodes.get(request.group_id, peerId)
      if (!node) return done(Status.error(ErrorCode.ENOENT, 'peer_id not exist'))
      if (!allowBraftPeers?.(request.group_id))
        return done(Status.error(ErrorCode.EPERM, `group ${request.group_id} takes no braft members`))
      try {
        run(node.handler, peerId)
      } catch (error) {
        if (!(error instanceof BadRequest)) throw error
        done(error.status)
      }
    }, 'braft request')
  }
}

function answering<R, M>(done: Reply<M>, toMessage: (response: R) => M): Answer<R> {
  return (status, response) => (status.ok ? done(status, toMessage(response!)) : done(status))
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
