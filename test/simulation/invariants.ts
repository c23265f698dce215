import type { RaftEvent } from '../../src/raft/events.js'
import type {
  AppendEntriesRequest,
  AppendEntriesResponse,
  PeerMethod,
  ReleaseRequest,
  RequestVoteRequest,
  RequestVoteResponse,
  TimeoutNowRequest,
} from '../../src/raft/messages.js'
import type { NodeImpl } from '../../src/raft/node-impl.js'
import type { LogIndex } from '../../src/raft/types.js'
import type { SimMember } from './member.js'
import type { NetworkObserver } from './sim-network.js'
import type { SimProcess } from './sim-process.js'

/** What a finished run is judged by besides its violations. */
export interface InvariantCounts {
  elections: number
  commitsChecked: number
  messagesChecked: number
  entriesChecked: number
}

interface KnownEntry {
  readonly term: number
  readonly sum: number
  readonly previousTerm: number
}

/**
 * The promises of Raft, checked at the very event that could break them: when a message leaves its process, when a node
 * says that something changed, when a machine takes an entry. Names follow the Raft TLA+ models.
 *
 * It believes no node: what is durable it reads from the disk images, with what a power loss at this moment would leave.
 */
export class Invariants implements NetworkObserver {
  readonly counts: InvariantCounts = { elections: 0, commitsChecked: 0, messagesChecked: 0, entriesChecked: 0 }
  /** Every commit up to here was seen durable on a quorum of disk images. */
  verifiedCommit = 0
  /** The highest index that each term committed, in order of terms. */
  private readonly commits: { readonly term: number; index: number }[] = []
  private readonly leaders = new Map<number, string>()
  private readonly votes = new Map<string, string>()
  private readonly entries = new Map<number, KnownEntry[]>()

  constructor(
    private readonly members: readonly SimMember[],
    private readonly fail: (invariant: string, detail: string) => void,
  ) {}

  // ---- what leaves a process ----

  requestSent(from: SimProcess, _to: string, method: PeerMethod, request: object): void {
    const member = this.memberOf(from)
    if (method === 'requestVote') {
      const { term } = request as RequestVoteRequest
      const durable = member.durableMeta()
      this.counts.messagesChecked++
      if (durable.term !== term || durable.votedFor !== member.peerId.key) {
        this.fail(
          'vote durable before it is asked for',
          `${member.name} asks for votes in term ${term}, its disk says term ${durable.term}, vote ${durable.votedFor}`,
        )
      }
      this.recordVote(member, term, member.peerId.key)
    } else if (method === 'preVote') this.termDurable(member, (request as RequestVoteRequest).term - 1, method)
    else if (method === 'timeoutNow' || method === 'release')
      this.termDurable(member, (request as TimeoutNowRequest | ReleaseRequest).term, method)
  }

  responseSent(from: SimProcess, _to: string, method: PeerMethod, request: object, response: object): void {
    const member = this.memberOf(from)
    if (!('term' in response)) return
    const { term } = response as { term: number }
    this.termDurable(member, term, `an answer to ${method}`)
    if (method !== 'requestVote' || !(response as RequestVoteResponse).granted) return
    const vote = request as RequestVoteRequest
    const durable = member.durableMeta()
    if (durable.term !== vote.term || durable.votedFor !== vote.serverId.key) {
      this.fail(
        'vote durable before it is granted',
        `${member.name} grants ${vote.serverId.key} term ${vote.term}, its disk says term ${durable.term}, vote ${durable.votedFor}`,
      )
    }
    this.recordVote(member, vote.term, vote.serverId.key)
  }

  appendSent(from: SimProcess, _to: string, request: AppendEntriesRequest): void {
    const member = this.memberOf(from)
    this.termDurable(member, request.term, 'an append')
    const leader = this.leaders.get(request.term)
    if (leader !== member.peerId.key)
      this.fail('election safety', `${member.name} appends in term ${request.term}, whose leader is ${leader ?? 'nobody'}`)
    const { entries } = request
    if (!entries) return
    if (entries.firstIndex !== request.prevLogIndex + 1)
      this.fail('appends have no gap', `${member.name} sends ${entries.firstIndex} after ${request.prevLogIndex}`)
    let previousTerm: number = request.prevLogTerm
    for (let index = entries.firstIndex; index <= entries.lastIndex; index++) {
      const at = entries.offsetAt(index)
      const term = entries.termAt(index)
      if (term > request.term) this.fail('log matching', `${member.name} sends an entry of term ${term} in term ${request.term}`)
      this.logMatches(member.name, index, { term, sum: entries.bytes.readUInt32BE(at + 20), previousTerm })
      previousTerm = term
    }
  }

  appendAnswered(from: SimProcess, _to: string, request: AppendEntriesRequest, response: AppendEntriesResponse): void {
    const member = this.memberOf(from)
    this.termDurable(member, response.term, 'an acknowledgement')
    if (!response.success || !request.entries || response.rebuilding) return
    if (response.term !== request.term)
      this.fail('a success carries the term of the leader', `${member.name} answers term ${response.term} to ${request.term}`)
    const last = request.entries.lastIndex
    const stored = member.durableLog.entryAt(last)
    if (stored?.term !== request.entries.termAt(last)) {
      this.fail(
        'acknowledged means durable',
        `${member.name} acknowledges ${last} of term ${request.entries.termAt(last)}, its disk holds ${stored ? `term ${stored.term}` : 'nothing'} there`,
      )
    }
  }

  // ---- what a node says ----

  observed(member: SimMember, event: RaftEvent): void {
    if (event.name === 'election.won') this.leaderElected(member, event.term)
    else if (event.name === 'commit.advanced') this.commitAdvanced(member, event.index)
    else if (event.name === 'log.truncated') this.logTruncated(member, event.lastKept)
    else if (event.name === 'term.raised' && event.term <= event.from)
      this.fail('terms only grow', `${member.name} went from term ${event.from} to ${event.term}`)
  }

  /** Cheap checks of a node's own numbers, after an event in which it said something. */
  numbersMakeSense(member: SimMember): void {
    const { node, process, seen } = member
    if (!node || !process?.alive) return
    const status = node.status()
    if (status.state === 'UNINITIALIZED' || status.state === 'SHUTDOWN') return
    const { committedIndex, appliedIndex, lastId, durableIndex, term } = status
    if (committedIndex > lastId.index)
      this.fail('committed within the log', `${member.name} committed ${committedIndex}, its log ends at ${lastId.index}`)
    if (appliedIndex > committedIndex)
      this.fail('applied within committed', `${member.name} applied ${appliedIndex}, committed ${committedIndex}`)
    if (durableIndex > lastId.index)
      this.fail('durable within the log', `${member.name} says durable ${durableIndex}, its log ends at ${lastId.index}`)
    if (term < seen.term || committedIndex < seen.committed || appliedIndex < seen.applied) {
      this.fail(
        'numbers only grow',
        `${member.name} went back to term ${term}, committed ${committedIndex}, applied ${appliedIndex} from ${JSON.stringify(seen)}`,
      )
    }
    seen.term = term
    seen.committed = committedIndex
    seen.applied = appliedIndex
  }

  /** A machine took an entry: a leader must have shown it committed. */
  appliedEntry(member: SimMember, index: number, term: number): void {
    if (index > this.verifiedCommit)
      this.fail(
        'applied only what is committed',
        `${member.name} applied ${index} of term ${term}, only ${this.verifiedCommit} is known committed`,
      )
  }

  private leaderElected(member: SimMember, term: number): void {
    this.counts.elections++
    const known = this.leaders.get(term)
    if (known !== undefined) this.fail('election safety', `${member.name} was elected in term ${term}, which ${known} leads`)
    this.leaders.set(term, member.peerId.key)
    member.leadsTerm = term
    // A paused candidate may learn of its votes when a newer term has long committed more: only older terms bind it.
    const { lastId } = member.node!.status()
    const committed = this.commits.findLast((commit) => commit.term < term)
    if (committed && (lastId.term < committed.term || (lastId.term === committed.term && lastId.index < committed.index))) {
      this.fail(
        'leader completeness',
        `${member.name} leads term ${term} with ${lastId.index} of term ${lastId.term}, committed is ${committed.index} of term ${committed.term}`,
      )
    }
  }

  private commitAdvanced(member: SimMember, index: number): void {
    const status = member.node!.status()
    if (status.state !== 'LEADER' && status.state !== 'TRANSFERRING') {
      if (index > this.verifiedCommit)
        this.fail(
          'followers learn what is committed',
          `${member.name} committed ${index}, no leader committed more than ${this.verifiedCommit}`,
        )
      return
    }
    this.counts.commitsChecked++
    // The entry's own: a newer one may be in force by now.
    const configuration = (member.node!.handler as NodeImpl).log.configurations.at(index as LogIndex)
    const holds = (key: string) =>
      this.members.some((other) => other.peerId.key === key && other.durableLog.entryAt(index)?.term === status.term)
    if (!configuration.hasQuorum((peer) => holds(peer.key))) {
      const holders = this.members.filter((other) => holds(other.peerId.key)).map((other) => other.name)
      this.fail(
        'committed means durable on a quorum',
        `${member.name} committed ${index} in term ${status.term}, only ${holders} hold it in that term, of ${configuration.conf}${configuration.isStable ? '' : ` and of ${configuration.old}`}`,
      )
    }
    if (index > this.verifiedCommit) {
      this.verifiedCommit = index
      const newest = this.commits.at(-1)
      if (newest?.term === status.term) newest.index = index
      else this.commits.push({ term: status.term, index })
    }
  }

  private logTruncated(member: SimMember, lastKept: number): void {
    if (member.leadsTerm !== 0 && member.node!.isLeader())
      this.fail('leaders only append', `${member.name} leads and cut its log after ${lastKept}`)
    if (lastKept < member.seen.committed)
      this.fail('committed entries stay', `${member.name} cut its log after ${lastKept}, it had committed ${member.seen.committed}`)
  }

  private termDurable(member: SimMember, term: number, what: string): void {
    this.counts.messagesChecked++
    const durable = member.durableMeta()
    if (term > durable.term)
      this.fail('term durable before it is sent', `${member.name} sends ${what} of term ${term}, its disk says ${durable.term}`)
  }

  private recordVote(member: SimMember, term: number, candidate: string): void {
    const key = `${member.name}/${term}`
    const earlier = this.votes.get(key)
    if (earlier !== undefined && earlier !== candidate)
      this.fail('one vote per term', `${member.name} voted for ${earlier} and for ${candidate} in term ${term}`)
    this.votes.set(key, candidate)
  }

  /** Same index and term: same entry, and the same entry before it. */
  private logMatches(who: string, index: number, entry: KnownEntry): void {
    this.counts.entriesChecked++
    const known = this.entries.get(index)
    const same = known?.find((other) => other.term === entry.term)
    if (same) {
      if (same.sum !== entry.sum || same.previousTerm !== entry.previousTerm)
        this.fail('log matching', `${who} sends another entry ${index} of term ${entry.term} than was sent before`)
    } else if (known) known.push(entry)
    else this.entries.set(index, [entry])
  }

  private memberOf(process: SimProcess): SimMember {
    return this.members[process.id - 1]!
  }
}
