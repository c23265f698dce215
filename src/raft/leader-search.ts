import type { Call } from './environment.js'
import type { NodeImpl } from './node-impl.js'
import type { MemberStanding } from './survey.js'
import { compareLogId } from './types.js'

/**
 * Looks for a leader before this node campaigns, in a group with braft members: those grant pre-votes also while they hear their
 * leader, and a braft leader needs seconds to find back to a member that was restarted. Who leads says so to whoever asks.
 *
 * Nobody waits for a leader that leads nobody: of either kind, it gives up within T when no quorum answers it.
 */
export class LeaderSearch {
  private readonly calls = new Set<Call>()

  constructor(private readonly node: NodeImpl) {}

  /** Runs `then` at once where all members are raftctl's, else when no other voter leads as far as it says. One search at a time. */
  unlessLed(then: () => void): void {
    const { options, configuration, serverId, meta, electionTimeoutMs } = this.node
    const { askStanding } = options
    const others = configuration.voters.filter((peer) => !peer.equals(serverId))
    if (!askStanding || others.length === 0) return then()
    if (this.calls.size > 0) return
    const { term } = meta
    for (const peer of others) {
      const call = askStanding(peer, electionTimeoutMs / 4, (status, standing) => {
        this.calls.delete(call)
        if (status.ok && standing!.leads && standing!.term >= term) return this.onLed(standing!)
        if (this.calls.size === 0 && this.isStillWithout(term)) then()
      })
      this.calls.add(call)
    }
  }

  private isStillWithout(term: number): boolean {
    const { state, leaderId, meta } = this.node
    return state === 'FOLLOWER' && leaderId.isEmpty && meta.term === term
  }

  /** A group that is led, and not by a leader that speaks to this node: it may have been removed while it was away. */
  private onLed({ members, lastId, isChanging }: MemberStanding): void {
    this.stop()
    const { configuration, serverId, removal } = this.node
    const isLeftOut = !members.some((member) => member.equals(serverId))
    if (isLeftOut && !isChanging && compareLogId(lastId, configuration.id) >= 0) removal.onLeftOut()
  }

  private stop(): void {
    for (const call of this.calls) call.cancel()
    this.calls.clear()
  }
}
