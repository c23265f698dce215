import { Configuration } from '../raft/configuration.js'
import type { Status } from '../raft/errors.js'
import type { NodeStatus, PeerStatus } from '../raft/node-status.js'
import { PeerId } from '../raft/peer-id.js'
import { witnessProblem } from '../raft/witness.js'
import { type BraftAnswer, whyBraftIsUnfit } from './braft-newcomer.js'
import { forAWhile, grouped } from './words.js'

/** What the process at the address of a member to be said of itself. */
export interface PeerAnswer {
  readonly version: string
  /** Null while it belongs to none. */
  readonly clusterId: string | null
  readonly standing: string
  readonly lastLogIndex: number
  readonly groups: readonly string[]
  /** PeerId of the group's node as the process itself writes it; null when it has none. */
  readonly peerId: string | null
  /** Where its data is; null when it did not say. */
  readonly freeBytes: number | null
  /** It takes braft nodes as members. */
  readonly mixed: boolean
  /** PeerIds that its directory had at other addresses, newest last. */
  readonly movedFrom: readonly string[]
  readonly incarnation: string
}

/** A member to be: what it answered, or why it did not. */
export interface AddedPeer {
  readonly peer: PeerId
  readonly name: string
  /** It is to receive the log and to count for nothing. */
  readonly learner?: boolean
  /** The member that it is to be, at another address now. */
  readonly movedFrom?: PeerId | null
  /** What runs where that member was; null: nothing does. */
  readonly before?: PeerAnswer | null
  readonly answer: PeerAnswer | null
  readonly problem: string
  /** What a braft node shows in place of an answer. */
  readonly braft?: BraftAnswer
}

/** Something answered, of whichever kind. */
export function isUp({ answer, braft }: AddedPeer): boolean {
  return answer !== null || braft !== undefined
}

export interface GateFacts {
  readonly groupId: string
  readonly status: Pick<
    NodeStatus,
    'peerId' | 'configuration' | 'configurationCommitted' | 'committedIndex' | 'electionTimeoutMs' | 'heartbeatMs' | 'peers' | 'membership'
  >
  /** Of the ReadIndex round that confirms the leader. */
  readonly confirmed: Status
  readonly clusterId: string | null
  readonly version: string
  readonly added: readonly AddedPeer[]
  readonly removed: readonly PeerId[]
  /** Learners that are to vote. */
  readonly promoted?: readonly PeerId[]
  /** Voters that are to be learners. */
  readonly demoted?: readonly PeerId[]
  /** What the leader keeps on its disk, and a new member will too; 0 when unknown. */
  readonly dataBytes: number
  readonly nameOf: (peer: PeerId) => string
  /** How it is said that a voter is silent, where the leader keeps no times. */
  readonly silenceOf?: (peer: PeerId) => string | null
  /** The leader takes braft nodes as members. */
  readonly mixed: boolean
  readonly isBraft: (peer: PeerId) => boolean
  /** Whether a member to be can become one, where braft decides. */
  readonly joinable?: (added: AddedPeer) => Gate
}

/** One condition of a change of members (CLI: G1 to G7 must hold, W1 to W3 only warn). */
export interface Gate {
  readonly gate: 'G1' | 'G2' | 'G3' | 'G4' | 'G5' | 'G6' | 'G7' | 'W1' | 'W2' | 'W3'
  readonly passed: boolean
  /** May be overridden by whoever names the cluster. */
  readonly forcible: boolean
  /** Of the error when it does not hold; '' when it does. */
  readonly code: string
  readonly message: string
  /** The command that gets there otherwise; '' without one. */
  readonly instead: string
}

/** A voter counts as heard when its last answer is younger than this many election timeouts. */
const FRESH_TIMEOUTS = 2
/** The same for one whose last request failed, in heartbeats: an idle leader rests every second one. */
const FAILING_HEARTBEATS = 4
/** A voter may miss this many committed entries and still be level: writes wait a moment for it at most. */
const LEVEL_ENTRIES = 1000
/** A member that does not run yet is no reason to refuse: the change waits for it. */
export const WAITING = 'E_WAIT_TIMEOUT'

/** What the change would make of the voters. */
export function targetOf(facts: ChangeFacts): Configuration {
  const { conf } = facts.status.configuration
  const { added, removed, promoted = [], demoted = [] } = facts
  const stays = without(conf.peers, [...removed, ...demoted])
  return new Configuration([...stays, ...promoted, ...added.filter((one) => !one.learner).map(({ peer }) => peer)])
}

/** What it would make of the learners. */
export function learnersOf(facts: ChangeFacts): readonly PeerId[] {
  const { added, removed, promoted = [], demoted = [] } = facts
  const stays = without(facts.status.configuration.learners, [...removed, ...promoted])
  return [...stays, ...demoted, ...added.filter((one) => one.learner).map(({ peer }) => peer)]
}

type ChangeFacts = Pick<GateFacts, 'added' | 'removed' | 'promoted' | 'demoted'> & {
  readonly status: Pick<NodeStatus, 'configuration'>
}

function without(peers: readonly PeerId[], gone: readonly PeerId[]): PeerId[] {
  return peers.filter((peer) => !gone.some((one) => one.equals(peer)))
}

/** Decides every gate and warning upon what the leader knows. Pure: the same facts, the same answer. */
export function membershipGates(facts: GateFacts): Gate[] {
  const view = new View(facts)
  const reachable = view.reachableAfter()
  return [
    view.confirmedLeader(),
    view.quorumBefore(),
    reachable,
    ...(reachable.passed ? [view.levelAfter()] : []),
    ...view.promotable(),
    view.nothingPending(),
    ...facts.added.map((added) => facts.joinable?.(added) ?? joinable(added, facts)),
    ...view.leaderStays(),
    ...(view.changesVoters ? [...view.tolerance(), ...view.evenCount()] : []),
    ...facts.added.flatMap((added) => diskShort(added, facts)),
  ]
}

/** The first gate that stands in the way; null when none does. With `force` those that may be overridden are. */
export function standing(gates: readonly Gate[], { force }: { readonly force: boolean }): Gate | null {
  return gates.find((gate) => !gate.passed && gate.gate.startsWith('G') && gate.code !== WAITING && !(force && gate.forcible)) ?? null
}

const passed = (gate: Gate['gate'], message: string): Gate => ({ gate, passed: true, forcible: false, code: '', message, instead: '' })
const warning = (gate: Gate['gate'], message: string): Gate => ({ ...passed(gate, message), passed: false })

/** The facts with what follows from them. */
class View {
  private readonly before: Configuration
  private readonly after: Configuration
  private readonly heard: ReadonlySet<string>
  private readonly nameOf: (peer: PeerId) => string

  constructor(private readonly facts: GateFacts) {
    const { status, added } = facts
    this.before = status.configuration.conf
    this.after = targetOf(facts)
    const fresh = status.peers.filter((peer) => !peer.rebuilding && isFresh(peer, status))
    this.heard = new Set([status.peerId.key, ...fresh.map((peer) => peer.peerId.key)])
    const names = new Map(added.map(({ peer, name }) => [peer.key, name]))
    this.nameOf = (peer) => names.get(peer.key) || facts.nameOf(peer) || peer.address
  }

  get changesVoters(): boolean {
    return !this.before.equals(this.after)
  }

  confirmedLeader(): Gate {
    const leader = this.nameOf(this.facts.status.peerId)
    const { confirmed } = this.facts
    if (confirmed.ok) return passed('G1', `${leader} leads, confirmed by a quorum`)
    return { ...failed('G1', 'E_NO_QUORUM'), message: `${leader} leads, but no quorum confirms it: ${confirmed.message}` }
  }

  quorumBefore(): Gate {
    const { before } = this
    const count = this.countHeard(before)
    if (count >= before.quorum) return passed('G2', `${count} of ${before.size} voters answer the leader`)
    return {
      ...failed('G2', 'E_NO_QUORUM'),
      message: `only ${count} of ${before.size} voters answer the leader and ${before.quorum} are needed: nothing can be committed`,
    }
  }

  /** Added members are caught up before they count, so they are taken as reachable. */
  reachableAfter(): Gate {
    const { after, facts } = this
    if (after.isEmpty) {
      const leaving = [...facts.removed, ...(facts.demoted ?? [])]
      const instead = `raftctl member replace ${this.list(leaving.slice(0, 1))} NEW=HOST:PORT`
      return { ...failed('G3', 'E_QUORUM_AT_RISK'), message: 'this would leave no voter at all', instead }
    }
    const witnesses = witnessProblem(after)
    if (witnesses) return { ...failed('G3', 'E_QUORUM_AT_RISK'), message: witnesses.message }
    const count = this.countHeard(after)
    if (count >= after.quorum) return passed('G3', `${count} of ${after.size} answer afterwards, ${after.quorum} are needed`)
    const up = after.peers.filter((peer) => this.isHeard(peer))
    const silent = after.peers.filter((peer) => !this.isHeard(peer)).map((peer) => this.silence(peer))
    const { removed, demoted = [] } = facts
    const what =
      removed.length > 0 ? `removing ${this.list(removed)}` : demoted.length > 0 ? `demoting ${this.list(demoted)}` : 'this change'
    return {
      ...failed('G3', 'E_QUORUM_AT_RISK'),
      forcible: true,
      message:
        `${what} leaves voters ${this.list(after.peers)}, but only ${this.list(up)} ${up.length === 1 ? 'is' : 'are'} reachable: writes would stop` +
        ` (needed ${after.quorum}, reachable ${count}). ${silent.join('; ')}.`,
      instead: this.insteadOfRisk(),
    }
  }

  /** The voters that make the new quorum must hold the log too, or writes stand still until they do. */
  levelAfter(): Gate {
    const { after, facts } = this
    const { committedIndex, peers } = facts.status
    const missing = (peer: PeerId) => {
      const known = peers.find((one) => one.peerId.equals(peer))
      return known ? Math.max(0, committedIndex - known.matchIndex) : 0
    }
    const behind = after.peers.filter((peer) => this.isHeard(peer) && this.before.contains(peer) && missing(peer) > LEVEL_ENTRIES)
    const level = this.countHeard(after) - behind.length
    if (level >= after.quorum) return passed('G5', `${level} of ${after.size} hold the log`)
    const late = behind.map((peer) => `${this.nameOf(peer)} is ${grouped(missing(peer))} entries behind`)
    return {
      ...failed('G5', 'E_NOT_CAUGHT_UP'),
      forcible: true,
      message: `${level} of ${after.size} voters would hold the log and ${after.quorum} are needed: ${late.join('; ')}`,
      instead: `raftctl wait member=${this.nameOf(behind[0]!)}:caught-up`,
    }
  }

  /** A learner that answers is waited for until it is level; one that does not would be waited for in vain. */
  promotable(): Gate[] {
    const { promoted = [], status } = this.facts
    return promoted.map((peer) => {
      if (!this.heard.has(peer.key))
        return { ...failed('G5', 'E_NOT_CAUGHT_UP'), message: `${this.silence(peer)}: a learner votes once it holds the log` }
      const match = status.peers.find((one) => one.peerId.equals(peer))?.matchIndex ?? 0
      const missing = Math.max(0, status.committedIndex - match)
      return passed(
        'G5',
        `${this.nameOf(peer)} ${missing === 0 ? 'holds the log' : `lacks ${grouped(missing)} entries, and is waited for`}`,
      )
    })
  }

  nothingPending(): Gate {
    const { configuration, configurationCommitted, membership } = this.facts.status
    if (membership.stage === 'none' && configuration.isStable && configurationCommitted) return passed('G4', 'no change pending')
    const stage =
      membership.stage === 'none' ? (configuration.isStable ? 'not committed yet' : 'joint') : membership.stage.replace('_', ' ')
    return { ...failed('G4', 'E_CONFIG_PENDING'), message: `a change of the members is under way (${stage})` }
  }

  leaderStays(): Gate[] {
    const { status, demoted = [] } = this.facts
    const { peerId } = status
    if (this.after.contains(peerId)) return []
    const what = demoted.some((peer) => peer.equals(peerId)) ? 'made a learner' : 'removed'
    return [passed('G7', `${this.nameOf(peerId)} leads and is ${what}: leadership moves first`)]
  }

  tolerance(): Gate[] {
    const { before, after } = this
    const of = (conf: Configuration) => this.countHeard(conf) - conf.quorum
    if (after.isEmpty || of(after) < 0 || (of(after) > 0 && of(after) >= of(before))) return []
    // What two voters mean the other warning says; one voter that was alone before is nothing new.
    if (after.size === 2 || (after.size === 1 && before.size === 1)) return []
    const failures = (count: number) => (count === 0 ? 'no failure' : `${count} ${count === 1 ? 'failure' : 'failures'}`)
    const wasMore = of(before) > of(after) ? `, and ${failures(of(before))} now` : ''
    return [warning('W1', `${failures(of(after))} tolerated afterwards${wasMore}`)]
  }

  evenCount(): Gate[] {
    const { after, facts } = this
    if (after.size === 0 || after.size % 2 === 1) return []
    const { peers } = this.before
    const silent = peers.find((peer) => !this.isHeard(peer)) ?? peers.find((peer) => facts.removed.some((gone) => gone.equals(peer)))
    if (after.size === 2) {
      const better = silent ? `Better: raftctl member replace ${this.nameOf(silent)} NEW=HOST:PORT` : 'Add a third.'
      return [warning('W2', `two voters: losing either one stops writes. ${better}`)]
    }
    const tolerates = (size: number) => size - (Math.floor(size / 2) + 1)
    return [
      warning(
        'W2',
        `${after.size} voters tolerate no more failures than ${after.size - 1}: one more would raise it to ${tolerates(after.size + 1)}`,
      ),
    ]
  }

  /** Removing who is down instead: the rest is all up. */
  private insteadOfRisk(): string {
    const silent = this.before.peers.filter((peer) => !this.isHeard(peer))
    if (silent.length === 0 || this.countHeard(this.before) < this.before.quorum) return ''
    const names = (peers: readonly PeerId[]) => peers.map((peer) => this.nameOf(peer)).join(' ')
    const stay = this.before.peers.filter((peer) => this.isHeard(peer))
    return `raftctl member remove ${names(silent)}     (safe: leaves ${names(stay)}, up)`
  }

  private silence(peer: PeerId): string {
    const known = this.facts.status.peers.find((one) => one.peerId.equals(peer))
    const name = this.nameOf(peer)
    if (known?.rebuilding) return `${name} is being rebuilt`
    const said = this.facts.silenceOf?.(peer)
    if (said) return `${name} ${said}`
    if (!known || known.lastContactMs === null) return `${name} never answered this leader`
    return `${name} has not answered for ${forAWhile(known.lastContactMs)}`
  }

  private isHeard(peer: PeerId): boolean {
    return this.heard.has(peer.key) || this.facts.added.some((added) => added.peer.equals(peer))
  }

  private countHeard(conf: Configuration): number {
    return conf.peers.filter((peer) => this.isHeard(peer)).length
  }

  private list(peers: readonly PeerId[]): string {
    return peers.map((peer) => this.nameOf(peer)).join(', ')
  }
}

function failed(gate: Gate['gate'], code: string): Gate {
  return { gate, passed: false, forcible: false, code, message: '', instead: '' }
}

/** One whose process is gone fails at once: it is not taken for alive until its silence is long enough. */
function isFresh(peer: PeerStatus, { electionTimeoutMs, heartbeatMs }: GateFacts['status']): boolean {
  const { lastContactMs, consecutiveErrors } = peer
  if (lastContactMs === null) return false
  return lastContactMs <= (consecutiveErrors > 0 ? FAILING_HEARTBEATS * heartbeatMs : FRESH_TIMEOUTS * electionTimeoutMs)
}

/** Whether what runs at the address can become a member of this group. */
function joinable(added: AddedPeer, facts: GateFacts): Gate {
  const { peer, name, answer, problem } = added
  const { groupId, clusterId, version } = facts
  const who = name || peer.address
  if (added.braft) return braftJoinable(who, peer, added.braft, facts)
  if (answer === null) {
    return { ...failed('G6', WAITING), message: `${who} does not answer at ${peer.address}: ${problem}` }
  }
  if (answer.clusterId !== null && clusterId !== null && answer.clusterId !== clusterId) {
    const message = `${who} (${peer.address}) belongs to another cluster, ${answer.clusterId}, and this is ${clusterId}`
    return { ...failed('G6', 'E_CLUSTER_MISMATCH'), message }
  }
  const unfit = whyUnfit(answer, { peer, groupId, version })
  if (unfit !== null) return { ...failed('G6', 'E_NOT_JOINABLE'), message: `${who} (${peer.address}) ${unfit}` }
  const other = whoElse(added, answer, facts)
  if (other !== null) return { ...failed('G6', 'E_NOT_JOINABLE'), ...other }
  const braft = answer.mixed ? undefined : targetOf(facts).peers.find((member) => facts.isBraft(member))
  if (braft) {
    const message = `${who} (${peer.address}) was started without --mixed: it would refuse ${facts.nameOf(braft) || braft.address}, which is a braft node`
    return { ...failed('G6', 'E_MIXED'), message }
  }
  const log = answer.lastLogIndex === 0 ? 'empty log' : `log of this cluster up to ${grouped(answer.lastLogIndex)}`
  if (added.movedFrom)
    return passed('G6', `${who} answers at ${peer.address} with the directory it had at ${added.movedFrom.address}, ${log}`)
  return passed('G6', `${who} answers, version ${answer.version}, ${log}`)
}

/** It has the directory of another member than it is to be, or of none. */
function whoElse(added: AddedPeer, answer: PeerAnswer, { nameOf, status }: GateFacts): Pick<Gate, 'message' | 'instead'> | null {
  const { peer, name, movedFrom, before } = added
  const who = name || peer.address
  const had = answer.movedFrom.flatMap((text) => PeerId.parse(text) ?? [])
  const called = (member: PeerId) => nameOf(member) || member.address
  if (movedFrom) {
    if (!had.some((one) => one.equals(movedFrom))) {
      const newest = had.at(-1)
      const has = newest ? `the directory of ${called(newest)}` : 'a directory of its own'
      const message = `what answers at ${peer.address} is not ${who}: it has ${has}, not the one that ${who} had at ${movedFrom.address}`
      const isEmpty = answer.lastLogIndex === 0 && !newest
      return { message, instead: isEmpty ? `raftctl member replace ${called(movedFrom)} ${who}=${peer.address}` : '' }
    }
    if (before?.incarnation !== answer.incarnation) return null
    const message = `${who} still runs at ${movedFrom.address}, upon a copy of the directory it has at ${peer.address}: stop that process first`
    return { message, instead: '' }
  }
  const member = had.find((one) => status.configuration.knows(one))
  if (!member) return null
  const message = `what answers at ${peer.address} is member ${called(member)}, whose address changed`
  return { message, instead: `raftctl member set ${called(member)} --address ${peer.address}` }
}

function braftJoinable(who: string, peer: PeerId, { stat, problem }: BraftAnswer, { mixed, groupId, status }: GateFacts): Gate {
  if (!mixed) {
    const message = `${who} is a braft node, and the members of group ${groupId} were started without --mixed`
    return { ...failed('G6', 'E_MIXED'), message }
  }
  const unfit = stat === null ? problem : whyBraftIsUnfit(stat, peer, status.configuration.conf.peers)
  if (unfit !== null) return { ...failed('G6', 'E_NOT_JOINABLE'), message: `${who}, a braft node, ${unfit}` }
  const log = stat!.lastIndex === 0 ? 'empty log' : `log of these members up to ${grouped(stat!.lastIndex)}`
  return passed('G6', `${who} answers, a braft node, ${log}`)
}

function whyUnfit(answer: PeerAnswer, { peer, groupId, version }: { peer: PeerId; groupId: string; version: string }): string | null {
  if (family(answer.version) !== family(version)) return `runs version ${answer.version}, and the leader ${version}`
  if (!answer.groups.includes(groupId)) return `serves ${answer.groups.join(', ') || 'no group'}, not ${groupId}`
  if (answer.peerId !== null && !sameMember(answer.peerId, peer)) return `calls itself ${answer.peerId}: add it by that address`
  const isWitness = answer.peerId === null ? peer.isWitness : PeerId.parse(answer.peerId)?.isWitness
  if (isWitness && !peer.isWitness) return 'was started as a witness: add it with --witness'
  if (!isWitness && peer.isWitness) return 'was not started as a witness: start it with --witness, on an empty directory'
  if (answer.standing === 'founding') return 'was started to found a group of its own, not to join one'
  if (answer.clusterId === null && answer.lastLogIndex > 0) return 'holds a log that is of no known cluster'
  return null
}

/** Before 1.0 every minor version may differ in what it sends. */
function family(version: string): string {
  const [major = '', minor = ''] = version.split('.')
  return major === '0' ? `0.${minor}` : major
}

function sameMember(text: string, peer: PeerId): boolean {
  return text === peer.key || text.startsWith(`${peer.key}:`)
}

function diskShort({ peer, name, answer }: AddedPeer, { dataBytes }: GateFacts): Gate[] {
  const free = answer?.freeBytes ?? null
  if (free === null || free >= 2 * dataBytes) return []
  const megabytes = (bytes: number) => `${grouped(Math.ceil(bytes / 1e6))} MB`
  return [warning('W3', `${name || peer.address} has ${megabytes(free)} of disk left, and the leader keeps ${megabytes(dataBytes)}`)]
}
