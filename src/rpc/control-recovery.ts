import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../generated/raftctl.js'
import { Configuration } from '../raft/configuration.js'
import { ErrorCode, type Status } from '../raft/errors.js'
import type { NodeStatus } from '../raft/node-status.js'
import type { PeerId } from '../raft/peer-id.js'
import { fromInt64 } from '../raft/types.js'
import { DEFAULT_GROUP, failure, nodeOf, onExecutor, peerOf, unary, usage } from './control-common.js'
import type { Control } from './control-definition.js'
import type { ControlHost, ControlledNode } from './control-host.js'
import type { Handlers } from './grpc.js'
import { MemberProbe } from './member-probe.js'

type Request = raftctl.v1.ResetPeersRequest

/** A voter that seems gone is asked this often before it counts as such. */
const ASKED_TIMES = 2

/** What a recovery replaced, and upon what it was decided: kept with the identity of the directory, newest last. */
export interface Recovery {
  readonly generation: number
  /** Wall clock, for people. */
  readonly at: string
  readonly group: string
  /** The members before and after, as PeerIds with commas between them. */
  readonly before: string
  readonly after: string
  readonly configIndex: number
  readonly term: number
  /** The end of this member's log: what others acknowledged above it is lost. */
  readonly lastIndex: number
  /** What it knew to be committed: what follows up to `lastIndex` becomes final. */
  readonly committedIndex: number
  /** The voters that did not answer. */
  readonly lost: string
}

/**
 * Members set by hand, past every quorum: for a group whose majority is gone for good.
 *
 * Refused while a majority answers, upon members that changed since, and for anything but voters that answer, this one among
 * them. The new generation is durable, with what was replaced by what, before the engine hears of it.
 */
export function recoveryHandlers(host: ControlHost): Pick<Handlers<(typeof Control)['methods']>, 'ResetPeers'> {
  return { ResetPeers: unary((request) => resetPeers(host, request)) }
}

async function resetPeers(host: ControlHost, request: Request): Promise<{ generation: number }> {
  const groupId = request.group || DEFAULT_GROUP
  const node = nodeOf(host, groupId)
  const target = new Configuration(request.members.map((member) => peerOf(member.peer_id ?? '')))
  const status = node.status()
  refuseOthers(host, request, status)
  refuseStrangers(target, status)
  const alive = await answering(host, node, status)
  refuseWhileAlive(host, target, status, alive)
  // Members may have changed while they were asked.
  refuseOthers(host, request, node.status())
  const generation = await host.recordRecovery(groupId, recoveryOf(host, groupId, target, status, alive))
  const reset = await onExecutor<Status>(host, (done) => done(node.resetPeers(target)))
  if (reset.ok) return { generation }
  const code = reset.code === ErrorCode.EBUSY ? 'E_CONFIG_PENDING' : 'E_INTERNAL'
  throw failure(grpc.status.FAILED_PRECONDITION, code, reset.message)
}

function refuseOthers(host: ControlHost, request: Request, { configuration }: NodeStatus): void {
  const generation = host.generationOf(request.group || DEFAULT_GROUP)
  const expected = fromInt64(request.expect_generation)
  if (expected !== generation) {
    const message = `this member is in generation ${generation}, and this was planned upon generation ${expected}`
    throw failure(grpc.status.FAILED_PRECONDITION, 'E_PLAN_STALE', message)
  }
  const index = fromInt64(request.expect_config_index)
  if (index !== 0 && index !== configuration.configIndex) {
    const message = `the members were last changed by entry ${configuration.configIndex}, and this was planned upon entry ${index}`
    throw failure(grpc.status.FAILED_PRECONDITION, 'E_PLAN_STALE', message)
  }
}

/** An empty or foreign directory must never decide what is committed. */
function refuseStrangers(target: Configuration, { configuration, peerId, standing }: NodeStatus): void {
  if (target.isEmpty) throw usage('a group needs at least one member')
  if (!target.contains(peerId)) throw usage(`${peerId} itself is to stay: ask one that is to be a member`)
  if (standing !== 'member')
    throw failure(grpc.status.FAILED_PRECONDITION, 'E_NOT_CAUGHT_UP', `${peerId} is ${standing}: it may lack anything`)
  const stranger = target.peers.find((peer) => !configuration.contains(peer))
  if (stranger)
    throw failure(
      grpc.status.NOT_FOUND,
      'E_NO_SUCH_NODE',
      `${stranger} is no voter of this group as ${peerId} knows it: ${configuration.conf}`,
    )
}

/** The voters that answer, this one among them. */
async function answering(host: ControlHost, node: ControlledNode, status: NodeStatus): Promise<ReadonlySet<string>> {
  const alive = new Set([status.peerId.key])
  const probe = new MemberProbe(host.faults)
  const ask = async (peer: PeerId) => {
    for (let i = 0; i < ASKED_TIMES && !alive.has(peer.key); i++) {
      const { answer } = await probe.ask(peer, node.groupId)
      if (answer?.groups.includes(node.groupId) && answer.standing === 'member') alive.add(peer.key)
    }
  }
  try {
    await Promise.all(status.configuration.voters.filter((peer) => !peer.equals(status.peerId)).map(ask))
  } finally {
    probe.close()
  }
  return alive
}

function refuseWhileAlive(host: ControlHost, target: Configuration, { configuration }: NodeStatus, alive: ReadonlySet<string>): void {
  const nameOf = (peer: PeerId) => host.nameOf(peer) || peer.address
  const { voters } = configuration
  const up = voters.filter((peer) => alive.has(peer.key)).map(nameOf)
  if (configuration.hasQuorum((peer) => alive.has(peer.key))) {
    const message = `${up.join(', ')} of ${voters.length} voters answer, which is a majority: nothing is lost, and a change of members will do`
    throw failure(grpc.status.FAILED_PRECONDITION, 'E_QUORUM_ALIVE', message)
  }
  const silent = target.peers.filter((peer) => !alive.has(peer.key)).map(nameOf)
  if (silent.length > 0)
    throw failure(grpc.status.FAILED_PRECONDITION, 'E_QUORUM_AT_RISK', `${silent.join(', ')} does not answer, and would be a member`)
}

function recoveryOf(
  host: ControlHost,
  group: string,
  target: Configuration,
  { configuration, term, lastId, committedIndex }: NodeStatus,
  alive: ReadonlySet<string>,
): Recovery {
  return {
    generation: host.generationOf(group) + 1,
    at: new Date().toISOString(),
    group,
    before: configuration.voters.join(','),
    after: target.toString(),
    configIndex: configuration.configIndex,
    term,
    lastIndex: lastId.index,
    committedIndex,
    lost: configuration.voters.filter((peer) => !alive.has(peer.key)).join(','),
  }
}
