import { braft } from '../generated/braft.js'
import { Configuration } from '../raft/configuration.js'
import type { Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { ChangeOptions } from '../raft/membership.js'
import { PeerId } from '../raft/peer-id.js'
import { optional, repeated, required } from './json-message.js'
import type { ManagedNode, NodeManager } from './node-manager.js'
import { type Reply, type RpcService, rpcMethod } from './service.js'

/** What administrators may ask of a node; the engine's Node is one. */
export interface AdministeredNode extends ManagedNode {
  /** The voters, on the leader; null elsewhere. */
  listPeers(): Configuration | null
  changePeers(conf: Configuration, options: ChangeOptions, done: (status: Status) => void): void
  resetPeers(conf: Configuration): Status
  snapshot(done: (status: Status) => void): void
}

/** Whom braft.CliService administers. */
export interface CliServiceOptions {
  readonly nodes: NodeManager<AdministeredNode>
  readonly executor: Executor
  /** Whether braft members take part in a group: they dial IPv4 only. */
  readonly allowBraftPeers?: (groupId: string) => boolean
  /** Refuses everything but get_leader with EACCES (braft disable_cli). */
  readonly disableCli?: boolean
}

/** braft.CliService: what braft_cli and other administrators of braft ask. Checks come in braft's order and its words. */
export function cliService(options: CliServiceOptions): RpcService {
  const cli = new CliHandlers(options)
  const change = { old_peers: repeated('string'), new_peers: repeated('string') }
  const ofMember = { group_id: required('string'), leader_id: required('string'), peer_id: required('string') }
  const methods = {
    add_peer: rpcMethod({
      request: braft.AddPeerRequest,
      response: braft.AddPeerResponse,
      json: { request: ofMember, response: change },
      handle: (request, _context, done) => cli.addPeer(request, done),
    }),
    remove_peer: rpcMethod({
      request: braft.RemovePeerRequest,
      response: braft.RemovePeerResponse,
      json: { request: ofMember, response: change },
      handle: (request, _context, done) => cli.removePeer(request, done),
    }),
    change_peers: rpcMethod({
      request: braft.ChangePeersRequest,
      response: braft.ChangePeersResponse,
      json: { request: { group_id: required('string'), leader_id: required('string'), new_peers: repeated('string') }, response: change },
      handle: (request, _context, done) => cli.changePeers(request, done),
    }),
    reset_peer: rpcMethod({
      request: braft.ResetPeerRequest,
      response: braft.ResetPeerResponse,
      json: {
        request: {
          group_id: required('string'),
          peer_id: required('string'),
          old_peers: repeated('string'),
          new_peers: repeated('string'),
        },
        response: {},
      },
      handle: (request, _context, done) => cli.resetPeer(request, done),
    }),
    snapshot: rpcMethod({
      request: braft.SnapshotRequest,
      response: braft.SnapshotResponse,
      json: { request: { group_id: required('string'), peer_id: optional('string') }, response: {} },
      handle: (request, _context, done) => cli.snapshot(request, done),
    }),
    get_leader: rpcMethod({
      request: braft.GetLeaderRequest,
      response: braft.GetLeaderResponse,
      json: { request: { group_id: required('string'), peer_id: optional('string') }, response: { leader_id: required('string') } },
      handle: (request, _context, done) => cli.getLeader(request, done),
    }),
    transfer_leader: rpcMethod({
      request: braft.TransferLeaderRequest,
      response: braft.TransferLeaderResponse,
      json: { request: { group_id: required('string'), leader_id: required('string'), peer_id: optional('string') }, response: {} },
      handle: (request, _context, done) => cli.transferLeader(request, done),
    }),
  }
  return { name: 'braft.CliService', methods }
}

interface PeersChanged {
  readonly old_peers: string[]
  readonly new_peers: string[]
}

class CliHandlers {
  constructor(private readonly options: CliServiceOptions) {}

  addPeer(request: { group_id: string; leader_id: string; peer_id: string }, done: Reply<PeersChanged>): void {
    this.withLeader(request, done, (node, peers) => {
      const peer = PeerId.parse(request.peer_id)
      if (!peer) return done(invalid(`Fail to parse peer_id ${request.peer_id}`))
      const isKnown = peers.some((member) => member.equals(peer))
      this.change(node, peers, isKnown ? peers : [...peers, peer], done)
    })
  }

  removePeer(request: { group_id: string; leader_id: string; peer_id: string }, done: Reply<PeersChanged>): void {
    this.withLeader(request, done, (node, peers) => {
      const peer = PeerId.parse(request.peer_id)
      if (!peer) return done(invalid(`Fail to parse peer_id ${request.peer_id}`))
      const kept = peers.filter((member) => !member.equals(peer))
      this.change(node, peers, kept, done)
    })
  }

  changePeers(request: { group_id: string; leader_id: string; new_peers: readonly string[] }, done: Reply<PeersChanged>): void {
    this.withLeader(request, done, (node, peers) => {
      const unparsable = unparsablePeer(request.new_peers)
      if (unparsable) return done(unparsable)
      this.change(node, peers, new Configuration(request.new_peers.map((text) => PeerId.parse(text)!)).peers, done)
    })
  }

  /** Answers when the change is over. */
  private change(node: AdministeredNode, before: readonly PeerId[], after: readonly PeerId[], done: Reply<PeersChanged>): void {
    const unreachable = this.unreachableByBraft(node.groupId, after)
    if (unreachable) return done(unreachable)
    node.changePeers(new Configuration(after), {}, (status) => {
      if (status.ok) done(Status.OK, { old_peers: before.map(String), new_peers: after.map(String) })
      // braft knows one answer for a leader that stepped down, whatever becomes of the change.
      else done(status.code === ErrorCode.EOUTCOMEUNKNOWN ? Status.error(ErrorCode.EPERM, status.message) : status)
    })
  }

  resetPeer(request: { group_id: string; peer_id: string; new_peers: readonly string[] }, done: Reply<object>): void {
    this.withNode(request.group_id, request.peer_id, done, (node) => {
      const peers = request.new_peers.map((text) => PeerId.parse(text))
      const refusal = unparsablePeer(request.new_peers) ?? this.unreachableByBraft(node.groupId, peers)
      const status = refusal ?? node.resetPeers(new Configuration(peers as PeerId[]))
      if (status.ok) done(Status.OK, {})
      else done(status)
    })
  }

  /** Answers when the snapshot is finished. */
  snapshot(request: { group_id: string; peer_id?: string | null }, done: Reply<object>): void {
    this.withNode(request.group_id, request.peer_id ?? '', done, (node) =>
      node.snapshot((status) => (status.ok ? done(Status.OK, {}) : done(status))),
    )
  }

  private unreachableByBraft(groupId: string, peers: readonly (PeerId | null)[]): Status | null {
    const bad = this.options.allowBraftPeers?.(groupId) ? peers.find((peer) => peer !== null && !peer.isIpv4) : undefined
    return bad ? invalid(`${bad} is no IPv4 address: the braft members of group ${groupId} cannot dial it`) : null
  }

  /** Whoever the asked node, or any node of the group in this process, follows. */
  getLeader(request: { group_id: string; peer_id?: string | null }, done: Reply<{ leader_id: string }>): void {
    const { nodes, executor } = this.options
    executor.post(() => {
      let asked: AdministeredNode[] = nodes.nodesOf(request.group_id)
      if (request.peer_id != null) {
        const peer = PeerId.parse(request.peer_id)
        if (!peer) return done(invalid(`Fail to parse ${request.peer_id}`))
        asked = asked.filter((node) => node.peerId.equals(peer))
      }
      if (asked.length === 0) return done(Status.error(ErrorCode.ENOENT, `No nodes in group ${request.group_id}`))
      const leader = asked.map((node) => node.leaderId()).find((id) => !id.isEmpty)
      if (leader) done(Status.OK, { leader_id: leader.toString() })
      else done(Status.error(ErrorCode.EAGAIN, 'Unknown leader'))
    }, 'cli get_leader')
  }

  /** Answers once the transfer has begun; whether it succeeded, get_leader tells. */
  transferLeader(request: { group_id: string; leader_id: string; peer_id?: string | null }, done: Reply<object>): void {
    this.withNode(request.group_id, request.leader_id, done, (node) => {
      let target: PeerId | null = null
      if (request.peer_id != null) {
        target = PeerId.parse(request.peer_id)
        if (!target) return done(invalid(`Fail to parse ${request.peer_id}`))
        if (target.isEmpty) target = null
      }
      let refused: Status | null = null
      let begun = false
      node.transferLeadershipTo(target, (status) => {
        if (!begun && !status.ok) refused = new Status(status.code, `Fail to invoke transfer_leadership_to : ${status.message}`)
      })
      begun = true
      if (refused) done(refused)
      else done(Status.OK, {})
    })
  }

  private withLeader(
    request: { group_id: string; leader_id: string },
    done: Reply<never>,
    then: (node: AdministeredNode, peers: readonly PeerId[]) => void,
  ): void {
    this.withNode(request.group_id, request.leader_id, done, (node) => {
      const conf = node.listPeers()
      if (conf) then(node, conf.peers)
      else done(Status.error(ErrorCode.EPERM, 'Not leader'))
    })
  }

  /** Runs `then` with the node that `id` names, or the only one of the group when it names none; on the executor. */
  private withNode(groupId: string, id: string, done: Reply<never>, then: (node: AdministeredNode) => void): void {
    const { nodes, executor, disableCli } = this.options
    executor.post(() => {
      if (disableCli) return done(Status.error(ErrorCode.EACCES, 'CliService is switched off here'))
      if (id !== '') {
        const peer = PeerId.parse(id)
        const node = peer && nodes.get(groupId, peer)
        if (node) return then(node)
        return done(Status.error(ErrorCode.ENOENT, `Fail to find node ${id} in group ${groupId}`))
      }
      const [node, ...others] = nodes.nodesOf(groupId)
      if (!node) return done(Status.error(ErrorCode.ENOENT, `Fail to find node in group ${groupId}`))
      if (others.length > 0) return done(invalid(`peer must be specified since there're ${others.length + 1} nodes in group ${groupId}`))
      then(node)
    }, 'cli request')
  }
}

function unparsablePeer(peers: readonly string[]): Status | null {
  const bad = peers.find((text) => !PeerId.parse(text))
  return bad === undefined ? null : invalid(`Fail to parse ${bad}`)
}

function invalid(message: string): Status {
  return Status.error(ErrorCode.EINVAL, message)
}
