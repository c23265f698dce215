import { PeerId } from '../raft/peer-id.js'
import { CliError } from '../terminal/errors.js'
import { calledAt, peerKey } from './node-report.js'
import type { ClusterStatus, NodeRow } from './status.js'

/** A member as it is called in one line, for a person and for a program. */
export interface MemberRef {
  readonly id: string
  readonly address: string
  readonly peerId: string
}

/** The configured member of this name, address or PeerId; E_NO_SUCH_NODE lists who there is. */
export function findMember(status: ClusterStatus, text: string): NodeRow & { readonly peerId: string } {
  const members = status.nodes.filter((row): row is NodeRow & { peerId: string } => row.role !== null && row.peerId !== null)
  const found = members.find((row) => row.id === text || row.address === (PeerId.parse(text)?.address ?? text) || isPeer(row.peerId, text))
  if (found) return found
  const list = members.map(calledAt).join(', ')
  throw new CliError('E_NO_SUCH_NODE', `no member is called ${JSON.stringify(text)}`, {
    hint: `Members: ${list}`,
    details: { asked: text, members: members.map((row) => row.id) },
  })
}

export function refOf({ id, address, peerId }: { readonly id: string; readonly address: string; readonly peerId: string }): MemberRef {
  return { id, address, peerId }
}

function isPeer(peerId: string, text: string): boolean {
  return /:\d+:\d+/.test(text) && peerKey(peerId) === peerKey(text)
}
