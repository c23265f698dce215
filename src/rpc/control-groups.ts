import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../generated/raftctl.js'
import { ErrorCode, type Status } from '../raft/errors.js'
import { failure, peerOf, unary, usage } from './control-common.js'
import type { Control } from './control-definition.js'
import type { ControlHost, ControlledNode, HostedGroup } from './control-host.js'
import { peerText } from './control-status.js'
import type { Handlers } from './grpc.js'

type Methods = 'ListGroups' | 'CreateGroup' | 'RemoveGroup'
type Group = raftctl.v1.ListGroupsResponse.Group.$Properties

const UID = /^[0-9a-f]{32}$/

/** The groups that a process hosts: which there are, one more, one less. */
export function groupHandlers(host: ControlHost): Pick<Handlers<(typeof Control)['methods']>, Methods> {
  return {
    ListGroups: unary(async () => ({ groups: listGroups(host) })),
    CreateGroup: unary((request) => createGroup(host, request)),
    RemoveGroup: unary((request) => removeGroup(host, request)),
  }
}

function listGroups(host: ControlHost): Group[] {
  const created = new Map(host.createdGroups().map((group) => [group.group, group]))
  const running = host.nodes.all().map((node) => groupOf(host, node, created.get(node.groupId)))
  const names = new Set(running.map(({ group }) => group))
  const others = [...created.values()].filter(({ group }) => !names.has(group))
  return [...running, ...others.map((group) => ({ group: group.group, ...recordOf(group) }))]
}

function groupOf(host: ControlHost, node: ControlledNode, created: HostedGroup | undefined): Group {
  const { state, standing, term, leaderId, lastId, committedIndex, configuration } = node.status()
  return {
    ...{ group: node.groupId, peer_id: node.peerId.toString(), state, standing, term, leader_id: peerText(leaderId) },
    ...{ last_log_index: lastId.index, commit_index: committedIndex, members: configuration.voters.map(String) },
    moved_from: [...host.movedFrom(node.groupId)],
    ...(created ? recordOf(created) : {}),
  }
}

function recordOf({ machine, uid, founders, problem }: HostedGroup): Group {
  return { machine, uid, founders: [...founders], problem: problem ?? '' }
}

async function createGroup(host: ControlHost, request: raftctl.v1.CreateGroupRequest): Promise<{ created: boolean }> {
  const { group, machine, uid, founders } = request
  if (!UID.test(uid)) throw usage(`"${uid}" is no uid of a group: 32 lower-case hex digits`)
  const members = founders.map(peerOf)
  const { identity } = host
  if (members.length > 0 && !members.some((peer) => peer.equals(identity.peerId)))
    throw usage(`${identity.peerId} is not among the founders of group ${group}: ${founders.join(', ')}`)
  if (identity.clusterId === null)
    throw failure(grpc.status.UNAVAILABLE, 'E_UNREACHABLE', 'does not know its cluster yet', { retryable: true })
  const { status, created } = await host.createGroup({ group, machine, uid, founders: members.map(String) })
  if (!status.ok) throw refusal(status)
  return { created }
}

async function removeGroup(host: ControlHost, { group, uid }: raftctl.v1.RemoveGroupRequest): Promise<{ removed: boolean }> {
  const { status, removed } = await host.removeGroup(group, uid)
  if (!status.ok) throw refusal(status)
  return { removed }
}

function refusal({ code, message }: Status): ReturnType<typeof failure> {
  switch (code) {
    case ErrorCode.EEXIST:
      return failure(grpc.status.ALREADY_EXISTS, 'E_EXISTS', message)
    case ErrorCode.EINVAL:
      return failure(grpc.status.FAILED_PRECONDITION, 'E_UNSUPPORTED', message)
    case ErrorCode.EPERM:
      return failure(grpc.status.FAILED_PRECONDITION, 'E_MIXED', message)
    case ErrorCode.EAGAIN:
      return failure(grpc.status.UNAVAILABLE, 'E_UNREACHABLE', message, { retryable: true })
    case ErrorCode.ENOSPC:
      return failure(grpc.status.FAILED_PRECONDITION, 'E_NO_SPACE', message)
    default:
      return failure(grpc.status.FAILED_PRECONDITION, 'E_DATA_DIR', message)
  }
}
