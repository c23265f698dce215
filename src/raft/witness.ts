import type { Configuration } from './configuration.js'
import type { Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { Replicator } from './replicator.js'

/** Members that hold data campaign first, for this many election timeouts (braft doubles the timeout of a witness). */
const PATIENCE_TIMEOUTS = 1
/** A leadership of a witness in which no other member came nearer to the whole log for this many election timeouts ends. */
const STANDSTILL_TIMEOUTS = 2
/** After one that came to nothing a witness campaigns no more for this many. */
const REST_TIMEOUTS = 10

/**
 * Why a group cannot have these members; null when it can. Every quorum must hold an entry with its data, so witnesses may be no
 * quorum themselves; and with a single member that holds data a witness keeps nobody going, it is one more whose loss stops writes.
 */
export function witnessProblem(conf: Configuration): Status | null {
  const { size, quorum, witnesses } = conf
  if (witnesses.length === 0) return null
  const withData = size - witnesses.length
  if (withData >= 2 && witnesses.length < quorum) return null
  const who = `${witnesses.join(', ')} ${witnesses.length === 1 ? 'is a witness' : 'are witnesses'} and ${withData} of ${size} hold data`
  const why = withData < 2 ? 'at least two must' : `any ${quorum} commit, and one of them must`
  return Status.error(ErrorCode.EINVAL, `${who}: ${why}. Remove witnesses first, or add members that hold data first`)
}

/** What the voters of one half become: nobody turns from a witness into a member that holds data, or back, in place. */
export function roleProblem(from: Configuration, to: Configuration): Status | null {
  for (const peer of to.peers) {
    const before = from.find(peer)
    if (!before || before.role === peer.role) continue
    const [was, is] = before.isWitness ? ['a witness', 'a member that holds data'] : ['a member that holds data', 'a witness']
    const mend = 'remove it, and add it again with an empty directory'
    return Status.error(ErrorCode.EINVAL, `${peer} is ${was} and becomes no ${is.replace(/^a /, '')} in place: ${mend}`)
  }
  return null
}

/**
 * What is different where this node is a witness (braft NodeOptions::witness): it votes and acknowledges entries, and holds no data.
 * It answers no reads, takes no tasks, and gives nobody a snapshot.
 *
 * It never campaigns. With `witnessToLeader` (braft raft_enable_witness_to_leader) its leaders send it entries whole, and it may lead to
 * bring up others from its log, when it holds all of that whole and nobody else campaigned: it opens its term, replicates, and hands
 * over to the first member with data that holds the whole log. It ends that as well when nobody gets nearer.
 */
export class Witness {
  private waitingSince: number | null = null
  private restsUntil = Number.NEGATIVE_INFINITY
  private timer: Timer | null = null
  private reached = 0

  constructor(private readonly node: NodeImpl) {}

  /** This node is one. */
  get isOne(): boolean {
    return this.node.serverId.isWitness
  }

  /** Why this node cannot be asked; null when it holds data. */
  get refusal(): Status | null {
    if (!this.isOne) return null
    const { serverId, leaderId } = this.node
    const whom = leaderId.isEmpty || leaderId.equals(serverId) ? 'a member that holds data' : `the leader, ${leaderId}`
    return Status.error(ErrorCode.EPERM, `${serverId} is a witness and holds no data: ask ${whom}`)
  }

  /** Why it must not campaign, whatever else holds; null when it may. */
  get campaignRefusal(): Status | null {
    if (!this.isOne) return null
    const { node } = this
    if (!node.options.witnessToLeader) return Status.error(ErrorCode.EPERM, `${node.serverId} is a witness: it never leads`)
    if (node.log.isBare) return Status.error(ErrorCode.EPERM, `${node.serverId} is a witness, and entries in its log lack their data`)
    if (node.env.clock.now() < this.restsUntil) return Status.error(ErrorCode.EPERM, `${node.serverId} is a witness that led in vain`)
    return null
  }

  /** Asked whenever it would campaign. */
  letsOthersGoFirst(why: 'silence' | 'asked'): boolean {
    if (!this.isOne || why === 'asked') return false
    const { env, electionTimeoutMs } = this.node
    const now = env.clock.now()
    this.waitingSince ??= now
    return now - this.waitingSince < PATIENCE_TIMEOUTS * electionTimeoutMs
  }

  onLeaderFollowed(): void {
    this.waitingSince = null
  }

  onBecomeLeader(): void {
    this.waitingSince = null
    if (!this.isOne) return
    this.reached = 0
    this.watch()
  }

  onStepDown(): void {
    this.timer?.cancel()
    this.timer = null
  }

  /** A member answered this witness that leads. */
  onContact(): void {
    const { node } = this
    if (!this.isOne || node.state !== 'LEADER' || !node.leaderReady) return
    const holdsAll = ({ matchIndex }: Replicator) => matchIndex >= node.log.lastIndex
    if (!node.replicators.bestCandidate(holdsAll)) return
    node.transfer.giveWay(Status.error(ErrorCode.ETRANSFERLEADERSHIP, 'a witness leads no longer than it must'), holdsAll)
  }

  /** How far the members with data are, all together: as long as that grows, its leadership is of use. */
  private get progress(): number {
    let sum = 0
    for (const { peerId, matchIndex } of this.node.replicators.all) if (!peerId.isWitness) sum += matchIndex
    return sum
  }

  private watch(): void {
    const { node } = this
    this.timer = node.env.clock.schedule(
      STANDSTILL_TIMEOUTS * node.electionTimeoutMs,
      () => {
        if (node.state !== 'LEADER') return
        const { progress } = this
        if (progress > this.reached) {
          this.reached = progress
          return this.watch()
        }
        this.restsUntil = node.env.clock.now() + REST_TIMEOUTS * node.electionTimeoutMs
        node.transfer.releaseFollowers(() => {})
        node.stepDown(node.meta.term, Status.error(ErrorCode.ETRANSFERLEADERSHIP, 'a witness led, and could bring nobody up'))
      },
      'witness',
    )
  }
}
