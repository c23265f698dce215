import { braft } from '../generated/braft.js'
import { Configuration } from '../raft/configuration.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { PeerId } from '../raft/peer-id.js'
import { BaiduStdError, callBaiduStd } from './baidu-std-client.js'
import { Channels } from './channel.js'

const GET_LEADER = {
  service: 'braft.CliService',
  method: 'get_leader',
  request: braft.GetLeaderRequest,
  response: braft.GetLeaderResponse,
}

interface Route {
  conf: Configuration
  leader: PeerId | null
}

/**
 * What a client knows of groups: who is in each, and who led it when it was asked last (braft's rtb). For raftctl's members and for
 * braft's: asked by braft.CliService/get_leader over baidu_std.
 *
 *     const table = new RouteTable()
 *     table.updateConfiguration('counter', '10.0.0.1:8100,10.0.0.2:8100,10.0.0.3:8100')
 *     if ((await table.refreshLeader('counter', 1000)).ok) table.selectLeader('counter')
 *
 * Owns the connections it asks through; `close` ends them.
 */
export class RouteTable {
  private readonly routes = new Map<string, Route>()
  private readonly channels = new Channels()

  /** Sets who is in a group, as a configuration or as its text; what was known of a leader stays if that is one of them. False: the text is none, or nobody is in it. */
  updateConfiguration(groupId: string, members: Configuration | string): boolean {
    const conf = typeof members === 'string' ? Configuration.parse(members) : members
    if (!conf || conf.isEmpty) return false
    const leader = this.routes.get(groupId)?.leader ?? null
    this.routes.set(groupId, { conf, leader: leader && conf.contains(leader) ? leader : null })
    return true
  }

  /** Who is in that group; null when it is unknown. */
  configuration(groupId: string): Configuration | null {
    return this.routes.get(groupId)?.conf ?? null
  }

  /** Who led that group when it was asked last; null when that, or the group, is unknown. Nobody is asked. */
  selectLeader(groupId: string): PeerId | null {
    return this.routes.get(groupId)?.leader ?? null
  }

  /** A call was answered by, or with, this leader; PeerId.EMPTY: it is unknown again. False: the group is unknown, or the text is no PeerId. */
  updateLeader(groupId: string, leader: PeerId | string): boolean {
    const route = this.routes.get(groupId)
    const peer = typeof leader === 'string' ? PeerId.parse(leader) : leader
    if (!route || !peer) return false
    route.leader = peer.isEmpty ? null : peer
    return true
  }

  /**
   * Asks the members in turn, each for at most `timeoutMs`, until one names a leader. ENOENT: the group is unknown here. EAGAIN: those
   * that answered know no leader. Another: why the last one could not be asked.
   */
  async refreshLeader(groupId: string, timeoutMs: number): Promise<Status> {
    const route = this.routes.get(groupId)
    if (!route) return Status.error(ErrorCode.ENOENT, `group ${groupId} is not in the table`)
    const unknown = Status.error(ErrorCode.EAGAIN, 'Unknown leader')
    let failed: Status | null = null
    let hasAnswer = false
    for (const { address } of route.conf.peers) {
      try {
        const { response } = await callBaiduStd(this.channels.baiduStd(address), GET_LEADER, { group_id: groupId }, { timeoutMs })
        const leader = PeerId.parse(response.leader_id)
        if (leader && !leader.isEmpty) {
          route.leader = leader
          return Status.OK
        }
        hasAnswer = true
      } catch (error) {
        if (!(error instanceof BaiduStdError)) throw error
        if (error.status.code === ErrorCode.EAGAIN) hasAnswer = true
        else failed = error.status
      }
    }
    return hasAnswer || !failed ? unknown : failed
  }

  /** Forgets that group. False: it is unknown. */
  removeGroup(groupId: string): boolean {
    return this.routes.delete(groupId)
  }

  /** Ends the connections; calls that run fail. */
  close(): void {
    this.channels.close()
  }
}
