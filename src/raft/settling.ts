import type { Call, Timer } from './environment.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import type { Replicator } from './replicator.js'
import type { LogId } from './types.js'

/** One peer that is being rebuilt. */
interface Work {
  readonly peerId: PeerId
  /** Which life of its directory the marker belongs to; a second wipe needs a second marker. */
  incarnation: string | null
  /** Committed without the peer; null until then. */
  upTo: LogId | null
  call: Call | null
  timer: Timer | null
}

/**
 * The leader's side of rebuilding: makes members of those that lost their past, one life at a time.
 *
 * A peer whose answers are flagged is asked which incarnation it is. A member of the configuration gets a marker: the present
 * configuration once more, committed without it. Whoever has no place in the configuration needs none: a round of reads confirms
 * that this node leads, and it counts once it holds what was committed then. The peer is told to settle, again and again until it has.
 *
 * Invariants
 * - the marker is appended after the incarnation was learned, and named to the peer only when it is committed. So whatever
 *   the peer may have acknowledged in an earlier life is below it, and a quorum without the peer holds it.
 */
export class Settling {
  private readonly open = new Map<string, Work>()

  constructor(private readonly node: NodeImpl) {}

  /** An answer of this peer was flagged. */
  onFlagged({ peerId }: Replicator): void {
    if (this.node.state !== 'LEADER' || !this.node.leaderReady || this.open.has(peerId.key)) return
    const work: Work = { peerId, incarnation: null, upTo: null, call: null, timer: null }
    this.open.set(peerId.key, work)
    this.ask(work)
  }

  stop(): void {
    for (const work of this.open.values()) {
      work.call?.cancel()
      work.timer?.cancel()
    }
    this.open.clear()
  }

  private isOver(work: Work): boolean {
    return this.open.get(work.peerId.key) !== work
  }

  private ask(work: Work): void {
    const { node } = this
    const { peerId } = work
    const { incarnation, standing } = node.identity!
    const request = { groupId: node.groupId, serverId: node.serverId, peerId, incarnation, standing }
    work.call = node.env.transport.call(peerId, 'hello', request, node.electionTimeoutMs, (status, response) => {
      work.call = null
      if (this.isOver(work)) return
      if (!status.ok) return this.later(work)
      if (response!.standing !== 'rebuilding') return void this.open.delete(peerId.key)
      if (work.incarnation !== response!.incarnation) return this.begin(work, response!.incarnation)
      if (work.upTo) this.settle(work, work.upTo)
      else this.later(work)
    })
  }

  private begin(work: Work, incarnation: string): void {
    const { configuration, log, state, space } = this.node
    if (state !== 'LEADER' || space.isShort || !configuration.isStable || log.configurations.isByHand) return this.later(work)
    work.incarnation = incarnation
    work.upTo = null
    const isKnown = configuration.knows(work.peerId)
    if (isKnown) this.mark(work, incarnation)
    else this.confirm(work, incarnation)
    this.later(work)
  }

  /** Appends the marker. Whoever is settled by it must not be counted for it: its acknowledgements are flagged. */
  private mark(work: Work, incarnation: string): void {
    const { node } = this
    const { term } = node.meta
    const { configuration } = node
    const index = node.proposeConfiguration(configuration, node.options.askStanding ? null : configuration.configIndex)
    node.env.failpoints.hit('settle.marker-proposed')
    node.fsmCaller.whenApplied(index, (status) => this.ready(work, incarnation, status.ok ? { index, term } : null))
  }

  /**
   * It is in no configuration that can be in force: this node leads, and a committed one lacks it. What it may have said in an
   * earlier life counts for nothing; but it must hold that configuration before it votes, or it could elect somebody who
   * missed its removal, by an older one.
   */
  private confirm(work: Work, incarnation: string): void {
    const { node } = this
    node.reads.readAsLeader(node.electionTimeoutMs, 'confirmed', (status, index) => {
      const { configuration, log } = node
      const isOutside = status.ok && configuration.id.index <= index! && !configuration.knows(work.peerId)
      this.ready(work, incarnation, isOutside ? { index: index!, term: log.termAt(index!) } : null)
    })
  }

  private ready(work: Work, incarnation: string, upTo: LogId | null): void {
    if (this.isOver(work) || work.incarnation !== incarnation) return
    if (upTo) work.upTo = upTo
    else work.incarnation = null
  }

  private settle(work: Work, upTo: LogId): void {
    const { node } = this
    const { peerId, incarnation } = work
    node.env.failpoints.hit('settle.marker-committed')
    const request = { groupId: node.groupId, serverId: node.serverId, peerId, term: node.meta.term, incarnation: incarnation!, upTo }
    work.call = node.env.transport.call(peerId, 'settle', request, node.electionTimeoutMs, (status, response) => {
      work.call = null
      if (this.isOver(work)) return
      if (status.ok) node.onHigherTerm(response!.term, peerId)
      if (this.isOver(work)) return
      if (!status.ok || !response!.settled) return this.later(work)
      this.open.delete(peerId.key)
      node.observe({ name: 'member.settled', peer: peerId, incarnation: incarnation!, upTo: upTo.index })
    })
  }

  private later(work: Work): void {
    if (this.isOver(work)) return
    if (!this.node.replicators.get(work.peerId)) return void this.open.delete(work.peerId.key)
    work.timer = this.node.env.clock.schedule(this.node.heartbeatMs, () => this.ask(work), 'settling')
  }
}
