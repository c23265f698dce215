import type { PeerId } from '../raft/peer-id.js'
import { Channels } from './channel.js'
import { Control } from './control-definition.js'
import type { ControlHost, ControlledNode } from './control-host.js'
import { ServiceClient } from './grpc.js'

const SPREAD_TIMEOUT_MS = 1000

/**
 * The leader tells every other member what each is called. Names are labels: a member that cannot be told keeps what it
 * knows, and is told again with the next change.
 */
export async function spreadNames(host: ControlHost, node: ControlledNode): Promise<void> {
  const { voters, learners } = node.status().configuration
  const members = [...voters, ...learners]
  const named = members.flatMap((peer) => {
    const name = host.nameOf(peer)
    return name === '' ? [] : [{ peer_id: peer.toString(), name }]
  })
  const channels = new Channels()
  const tell = async (peer: PeerId) => {
    const { host: target, port } = host.faults.dialTarget(peer)
    const client = new ServiceClient(Control, channels.grpc(`${target}:${port}`))
    const call = { timeoutMs: SPREAD_TIMEOUT_MS }
    await Promise.all(named.map((member) => client.call('SetMemberName', { group: node.groupId, member }, call)))
  }
  const others = members.filter((peer) => !peer.equals(node.peerId) && !host.faults.isCut(peer))
  await Promise.all(others.map((peer) => tell(peer).catch(() => {})))
  channels.close()
}
