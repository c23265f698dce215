import type { ConfigurationEntry } from '../../src/raft/configuration.js'
import type { Fail } from './invariants.js'
import type { SimMember } from './member.js'

/** Who voted for whom, and who leads: one leader per term, elected by a quorum, and one vote per term in a life. */
export class VoteChecks {
  private readonly leaders = new Map<number, string>()
  /** Votes of one life of a member's directory. */
  private readonly votes = new Map<string, string>()
  /** Keys of all who ever voted for a candidate in a term. */
  private readonly voters = new Map<string, Set<string>>()

  constructor(private readonly fail: Fail) {}

  leaderOf(term: number): string | undefined {
    return this.leaders.get(term)
  }

  given(member: SimMember, term: number, candidate: string): void {
    const key = `${member.name}/${member.life}/${term}`
    const earlier = this.votes.get(key)
    if (earlier !== undefined && earlier !== candidate)
      this.fail('one vote per term', `${member.name} voted for ${earlier} and for ${candidate} in term ${term}`)
    this.votes.set(key, candidate)
    this.keepsEarlierLives(member, term, candidate)
    const ballot = this.ballot(term, candidate)
    ballot.add(member.peerId.key)
  }

  /** A directory that was lost and rebuilt knows its old votes no more, yet must not undo those that made a leader. */
  private keepsEarlierLives(member: SimMember, term: number, candidate: string): void {
    const leader = this.leaders.get(term)
    if (leader === undefined || leader === candidate || !this.ballot(term, leader).has(member.peerId.key)) return
    this.fail(
      'one vote per term',
      `${member.name} helped ${leader} to lead term ${term} before its disk was lost, and votes for ${candidate}`,
    )
  }

  elected(member: SimMember, term: number, configuration: ConfigurationEntry): void {
    const { key } = member.peerId
    const known = this.leaders.get(term)
    if (known !== undefined) this.fail('election safety', `${member.name} was elected in term ${term}, which ${known} leads`)
    this.leaders.set(term, key)
    const voters = this.ballot(term, key).add(key)
    if (!configuration.hasQuorum((peer) => voters.has(peer.key))) {
      const old = configuration.isStable ? '' : ` and of ${configuration.old}`
      this.fail('elected by a quorum', `${member.name} leads term ${term} by ${[...voters]} of ${configuration.conf}${old}`)
    }
  }

  private ballot(term: number, candidate: string): Set<string> {
    const key = `${term}/${candidate}`
    let ballot = this.voters.get(key)
    if (!ballot) {
      ballot = new Set()
      this.voters.set(key, ballot)
    }
    return ballot
  }
}
