import { ErrorCode, ErrorType, RaftError, Status } from './errors.js'
import type { Answer, SettleRequest, SettleResponse } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import { NO_TERM } from './types.js'

/**
 * The rebuilding member's side of settling: it counts again once its leader says so and it durably holds
 * everything up to the marker, which was committed without it.
 *
 * In its life before it may have voted for this very leader, or in this very term: so its vote of the term goes to the
 * leader, durably, before it is a member. Votes of later terms it may have given too; whoever asked for them lacks the
 * marker, and a quorum that has it does not elect a log without it.
 */
export function handleSettle(node: NodeImpl, request: SettleRequest, answer: Answer<SettleResponse>): void {
  const refuse = node.refusal()
  if (refuse) return answer(refuse)
  const reply = (settled: boolean) =>
    node.meta.whenDurable((status) => (status.ok ? answer(status, { term: node.meta.term, settled }) : answer(status)))
  const { identity, meta } = node
  if (!identity || request.incarnation !== identity.incarnation) return reply(false)
  if (identity.standing === 'member') return reply(true)
  const isLeader = request.term === meta.term && request.serverId.equals(node.leaderId) && node.state === 'FOLLOWER'
  if (!isLeader || identity.standing !== 'rebuilding' || !holds(node, request)) return reply(false)
  // A directory that moved brings a vote, perhaps for another: who was there before it may have voted for this leader.
  meta.giveToLeader(request.serverId)
  meta.whenDurable((voted) => {
    if (!voted.ok) return answer(voted)
    // Another term began before the vote was on disk, or an earlier call has settled it.
    if (meta.term !== request.term || !node.isRebuilding) return reply(node.identity!.standing === 'member')
    node.env.failpoints.hit('settle.vote-durable')
    const member = { ...identity, standing: 'member' as const, settledAt: request.upTo.index }
    node.options.identityStorage!.save(member, (saved) => {
      if (!saved.ok) {
        node.onError(new RaftError(ErrorType.STABLE, saved))
        return answer(Status.error(ErrorCode.EIO, saved.message))
      }
      if (node.isRebuilding) {
        node.identity = member
        node.removal.onSettled(request.upTo.index)
        node.env.failpoints.hit('settle.member')
        node.observe({ name: 'node.rebuilt', term: meta.term, incarnation: member.incarnation })
      }
      reply(true)
    })
  })
}

/** Everything up to the marker is on this disk, and known to be committed. */
function holds({ log, ballotBox, snapshots }: NodeImpl, { upTo }: SettleRequest): boolean {
  if (upTo.index > ballotBox.lastCommittedIndex || upTo.index > log.durableIndex || snapshots.installer.isInstalling) return false
  const term = log.termAt(upTo.index)
  return term === upTo.term || (term === NO_TERM && upTo.index < log.firstIndex)
}
