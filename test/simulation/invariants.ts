import type { Configuration } from '../../src/raft/configuration.js'
import type { RaftEvent } from '../../src/raft/events.js'
import type {
  AppendEntriesRequest,
  AppendEntriesResponse,
  PeerMethod,
  RequestVoteRequest,
  RequestVoteResponse,
  SettleRequest,
  SettleResponse,
  TimeoutNowResponse,
} from '../../src/raft/messages.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { compareLogId } from '../../src/raft/types.js'
import type { NetworkObserver } from '../../src/testing/sim-network.js'
import type { SimProcess } from '../../src/testing/sim-process.js'
import { CommittedLog } from './committed-log.js'
import { ConfigurationChecks } from './configuration-checks.js'
import { DiskChecks } from './disk-checks.js'
import type { History } from './history.js'
import type { SimMember } from './member.js'
import { VoteChecks } from './vote-checks.js'

/** What a finished run is judged by besides its violations. */
export interface InvariantCounts {
  elections: number
  commitsChecked: number
  messagesChecked: number
  entriesChecked: number
  snapshotsChecked: number
  /** Commits that needed the acknowledgement of a witness. */
  witnessCommits: number
  /** Elections that a witness won. */
  witnessLeaders: number
}

interface KnownEntry {
  readonly term: number
  /** A witness is sent another entry than the others: without its data. */
  readonly bare: boolean
  readonly sum: number
  readonly previousTerm: number
}

export type Fail = (invariant: string, detail: string) => void

/**
 * The promises of Raft, checked at the very event that could break them: when a message leaves its process, when a node
 * says that something changed, when a machine takes an entry. Names follow the Raft TLA+ models.
 *
 * It believes no node: what is durable it reads from the disk images, with what a power loss at this moment would leave.
 */
export class Invariants implements NetworkObserver {
  readonly counts: InvariantCounts = {
    elections: 0,
    commitsChecked: 0,
    messagesChecked: 0,
    entriesChecked: 0,
    snapshotsChecked: 0,
    witnessCommits: 0,
    witnessLeaders: 0,
  }
  readonly committed: CommittedLog
  /** The highest index that each term committed, in order of terms. */
  private readonly commits: { readonly term: number; index: number }[] = []
  private readonly votes: VoteChecks
  private readonly configurations: ConfigurationChecks
  private readonly disks: DiskChecks
  private readonly entries = new Map<number, KnownEntry[]>()
  private readonly byKey: ReadonlyMap<string, SimMember>

  constructor(
    private readonly members: readonly SimMember[],
    founders: Configuration,
    history: History,
    private readonly fail: Fail,
  ) {
    this.byKey = new Map(members.map((member) => [member.peerId.key, member]))
    this.committed = new CommittedLog(founders)
    this.votes = new VoteChecks(fail)
    this.configurations = new ConfigurationChecks(this.committed, fail)
    this.disks = new DiskChecks(this.committed, history, this.counts, fail)
  }

  // ---- what leaves a process ----

  requestSent(from: SimProcess, _to: string, method: PeerMethod, request: object): void {
    const member = this.memberOf(from)
    if (method === 'requestVote') {
      const { term } = request as RequestVoteRequest
      const durable = member.image.meta()
      this.counts.messagesChecked++
      if (durable.term !== term || durable.votedFor !== member.peerId.key) {
        this.fail(
          'vote durable before it is asked for',
          `${member.name} asks for votes in term ${term}, its disk says term ${durable.term}, vote ${durable.votedFor}`,
        )
      }
      this.isMember(member, 'asks for votes')
      this.votes.given(member, term, member.peerId.key)
    } else if (method === 'preVote') {
      this.isMember(member, 'asks for pre-votes')
      this.termDurable(member, (request as RequestVoteRequest).term - 1, method)
    } else if ('term' in request) {
      this.termDurable(member, (request as { term: number }).term, method)
      if (method === 'settle') this.settleSent(member, request as SettleRequest)
    }
  }

  responseSent(from: SimProcess, _to: string, method: PeerMethod, request: object, response: object): void {
    const member = this.memberOf(from)
    if (!('term' in response)) return
    const { term } = response as { term: number }
    this.termDurable(member, term, `an answer to ${method}`)
    if (method === 'timeoutNow' && (response as TimeoutNowResponse).success) this.isMember(member, 'follows timeout_now')
    if (method === 'settle' && (response as SettleResponse).settled) this.settled(member, request as SettleRequest)
    if (method !== 'requestVote' && method !== 'preVote') return
    if (!(response as RequestVoteResponse).granted) return
    this.isMember(member, `grants a ${method}`)
    if (method === 'preVote') return
    const vote = request as RequestVoteRequest
    const durable = member.image.meta()
    if (durable.term !== vote.term || durable.votedFor !== vote.serverId.key) {
      this.fail(
        'vote durable before it is granted',
        `${member.name} grants ${vote.serverId.key} term ${vote.term}, its disk says term ${durable.term}, vote ${durable.votedFor}`,
      )
    }
    this.votes.given(member, vote.term, vote.serverId.key)
  }

  appendSent(from: SimProcess, _to: string, request: AppendEntriesRequest): void {
    const member = this.memberOf(from)
    this.termDurable(member, request.term, 'an append')
    const leader = this.votes.leaderOf(request.term)
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
      const bare = entries.isBareAt(index)
      this.logMatches(member.name, index, { term, bare, sum: entries.bytes.readUInt32BE(at + 20), previousTerm })
      if (bare && !request.peerId.isWitness)
        this.fail('only a witness is sent entries without data', `${member.name} sends such an entry ${index} to ${request.peerId}`)
      previousTerm = term
    }
    this.configurations.sent(member.name, request.term, request.prevLogTerm, entries)
  }

  appendAnswered(from: SimProcess, _to: string, request: AppendEntriesRequest, response: AppendEntriesResponse): void {
    const member = this.memberOf(from)
    this.termDurable(member, response.term, 'an acknowledgement')
    if (!response.rebuilding) this.isMember(member, 'acknowledges without the flag of one')
    if (!response.success || !request.entries) return
    if (response.term !== request.term)
      this.fail('a success carries the term of the leader', `${member.name} answers term ${response.term} to ${request.term}`)
    const last = request.entries.lastIndex
    const stored = member.image.log.entryAt(last)
    if (stored?.bare && !member.peerId.isWitness)
      this.fail('only a witness lacks data', `${member.name} acknowledges ${last}, and its disk holds it without its data`)
    if (stored?.term !== request.entries.termAt(last) && member.image.snapshotIndex < last) {
      this.fail(
        'acknowledged means durable',
        `${member.name} acknowledges ${last} of term ${request.entries.termAt(last)}, its disk holds ${stored ? `term ${stored.term}` : 'nothing'} there`,
      )
    }
  }

  /** Whoever lost its past is told that it counts again only for what was committed without it. */
  private settleSent(member: SimMember, { upTo, peerId }: SettleRequest): void {
    if (upTo.index > this.committed.last || (upTo.index > 0 && this.committed.termAt(upTo.index) !== upTo.term)) {
      this.fail(
        'settled by what is committed',
        `${member.name} settles ${peerId.key} with ${upTo.index} of term ${upTo.term}, committed is ${this.committed.last}`,
      )
    }
  }

  private settled(member: SimMember, { term, upTo }: SettleRequest): void {
    this.isMember(member, 'says that it is settled')
    const { log, snapshotIndex } = member.image
    if (upTo.index > snapshotIndex && log.entryAt(upTo.index)?.term !== upTo.term)
      this.fail('settled means durable', `${member.name} says that it is settled and lacks ${upTo.index} of term ${upTo.term}`)
    for (const lost of member.lostIds) {
      // What somebody said who was removed since counts for nothing.
      if (!this.committed.configurationAt(upTo.index).contains(member.peerId) || compareLogId(upTo, lost) >= 0) continue
      const what = `${member.name} is settled by ${upTo.index} of term ${upTo.term}, a disk that it lost ended at ${lost.index} of term ${lost.term}`
      this.fail('settled above what was lost', what)
    }
    const durable = member.image.meta()
    if (durable.term === term && durable.votedFor === PeerId.EMPTY.key)
      this.fail('settled with a vote', `${member.name} is settled in term ${term} and could vote in it`)
  }

  // ---- what a node says ----

  observed(member: SimMember, event: RaftEvent): void {
    if (event.name === 'election.won') this.leaderElected(member, event.term)
    else if (event.name === 'commit.advanced') this.commitAdvanced(member, event.index)
    else if (event.name === 'log.truncated') this.logTruncated(member, event.lastKept)
    else if (event.name === 'term.raised' && event.term <= event.from)
      this.fail('terms only grow', `${member.name} went from term ${event.from} to ${event.term}`)
  }

  /** After an event in which the disk of a member changed for good. */
  diskChanged(member: SimMember): void {
    this.disks.check(member)
  }

  /** Cheap checks of a node's own numbers, after an event in which it said something. */
  numbersMakeSense(member: SimMember): void {
    const { node, process, seen } = member
    if (!node || !process?.alive) return
    const { state, committedIndex, appliedIndex, lastId, durableIndex, term } = node.progress()
    if (state === 'UNINITIALIZED' || state === 'SHUTDOWN') return
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

  /** A machine took an entry, or a snapshot up to it: a leader must have shown it committed. */
  appliedEntry(member: SimMember, index: number, term: number): void {
    const known = this.committed.termAt(index)
    if (index > this.committed.last || (known !== 0 && known !== term)) {
      this.fail(
        'applied only what is committed',
        `${member.name} applied ${index} of term ${term}, committed is ${this.committed.last}, there of term ${known}`,
      )
    }
  }

  private leaderElected(member: SimMember, term: number): void {
    this.counts.elections++
    if (member.peerId.isWitness) this.counts.witnessLeaders++
    if (member.peerId.isWitness && !member.options.node.witnessToLeader)
      this.fail('a witness never leads', `${member.name} leads term ${term}`)
    const { lastId, configuration } = member.node!.status()
    this.votes.elected(member, term, configuration)
    member.leadsTerm = term
    // A paused candidate may learn of its votes when a newer term has long committed more: only older terms bind it.
    const committed = this.commits.findLast((commit) => commit.term < term)
    if (committed && (lastId.term < committed.term || (lastId.term === committed.term && lastId.index < committed.index))) {
      this.fail(
        'leader completeness',
        `${member.name} leads term ${term} with ${lastId.index} of term ${lastId.term}, committed is ${committed.index} of term ${committed.term}`,
      )
    }
  }

  private commitAdvanced(member: SimMember, index: number): void {
    const { state, term } = member.node!.progress()
    if (state !== 'LEADER' && state !== 'TRANSFERRING') {
      if (index > this.committed.last)
        this.fail(
          'followers learn what is committed',
          `${member.name} committed ${index}, no leader committed more than ${this.committed.last}`,
        )
      return
    }
    this.counts.commitsChecked++
    const holders = this.members.filter((other) => other.holds(index, term))
    const live = holders.find((other) => other.image.log.entryAt(index)?.term === term)
    const configuration = live?.image.log.configurationAt(index) ?? this.committed.configurationAt(index)
    if (!configuration.hasQuorum((peer) => holders.includes(this.byKey.get(peer.key)!))) {
      const old = configuration.isStable ? '' : ` and of ${configuration.old}`
      this.fail(
        'committed means durable on a quorum',
        `${member.name} committed ${index} in term ${term}: of ${configuration.conf}${old} only the disks of ${holders.map((m) => m.name)} hold it in that term`,
      )
    }
    if (holders.every(({ peerId }) => peerId.isWitness))
      this.fail('what is committed has data', `${member.name} committed ${index} in term ${term}, and witnesses alone hold it`)
    if (!configuration.hasQuorum((peer) => !peer.isWitness && holders.includes(this.byKey.get(peer.key)!))) this.counts.witnessCommits++
    if (index <= this.committed.last) return
    if (live) this.committed.advance(index, live.image.log)
    const newest = this.commits.at(-1)
    if (newest?.term === term) newest.index = index
    else this.commits.push({ term, index })
  }

  private logTruncated(member: SimMember, lastKept: number): void {
    if (member.leadsTerm !== 0 && member.node!.isLeader())
      this.fail('leaders only append', `${member.name} leads and cut its log after ${lastKept}`)
    if (lastKept < member.seen.committed)
      this.fail('committed entries stay', `${member.name} cut its log after ${lastKept}, it had committed ${member.seen.committed}`)
  }

  private termDurable(member: SimMember, term: number, what: string): void {
    this.counts.messagesChecked++
    const durable = member.image.meta()
    if (term > durable.term)
      this.fail('term durable before it is sent', `${member.name} sends ${what} of term ${term}, its disk says ${durable.term}`)
  }

  /** Only a directory that has its whole past may do this. */
  private isMember(member: SimMember, what: string): void {
    if (member.image.isMember) return
    this.fail('only members count', `${member.name} ${what}, its disk says ${member.image.identity()?.standing ?? 'nothing'}`)
  }

  /** Same index and term: same entry, and the same entry before it. */
  private logMatches(who: string, index: number, entry: KnownEntry): void {
    this.counts.entriesChecked++
    const known = this.entries.get(index)
    const same = known?.find((other) => other.term === entry.term && other.bare === entry.bare)
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
