import { Configuration, ConfigurationEntry } from '../../raft/configuration.js'
import { Status } from '../../raft/errors.js'
import type { MembershipStage } from '../../raft/node-status.js'
import { PeerId } from '../../raft/peer-id.js'
import { DEFAULT_PRIORITY } from '../../raft/precedence.js'
import { asTerm, logIndex, NO_INDEX } from '../../raft/types.js'
import { whyBraftIsUnfit } from '../../rpc/braft-newcomer.js'
import { type AddedPeer, type Gate, membershipGates, WAITING } from '../../rpc/membership-gates.js'
import type { RaftStat, ReplicatorStat } from '../../rpc/raft-stat-text.js'
import { grouped } from '../../rpc/words.js'
import { isEmptyPeer, peerKey } from '../node-report.js'
import type { PlanGate } from '../plan.js'
import { answersLeader, matchOf } from './braft-report.js'
import type { NamedPeer } from './engine.js'

/** What runs at the address of a member to be: its page, or why there is none. */
export interface Newcomer extends NamedPeer {
  readonly stat: RaftStat | null
  readonly problem: string
  /** It answered, but hosts no node of the group. */
  readonly elsewhere: boolean
}

export interface BraftGateFacts {
  readonly leader: RaftStat
  /** Pages of the other voters, of those that answer here. */
  readonly others: readonly RaftStat[]
  readonly added: readonly Newcomer[]
  readonly removed: readonly NamedPeer[]
}

/** The gates of a change of members, decided upon what the pages of the members say: braft itself decides none. Pure. */
export function braftGates(facts: BraftGateFacts): PlanGate[] {
  const { leader, added, removed } = facts
  const gates = membershipGates({
    groupId: leader.group,
    status: statusOf(leader),
    confirmed: Status.OK,
    ...{ clusterId: null, version: 'braft', dataBytes: 0, mixed: true, isBraft: () => true },
    added: added.map((one) => ({ peer: peerOf(one.peerId), name: one.id, answer: null, problem: one.problem })),
    removed: removed.map((one) => peerOf(one.peerId)),
    nameOf: (peer) => peer.address,
    silenceOf: (peer) => silenceOf(leader, peer),
    joinable: (one) => joinable(one, added.find((newcomer) => peerKey(newcomer.peerId) === one.peer.key)!, leader),
  })
  return gates.map((gate) => planGate(gate.gate === 'G1' ? leads(facts) : gate))
}

/**
 * braft has no round that confirms a leader. Its own word, with those of its peers that answer it (which the next gate counts), is
 * as good while nobody else is in a newer term.
 */
function leads({ leader, others }: BraftGateFacts): Gate {
  const name = addressOf(leader)
  const newer = others.find((other) => other.term > leader.term)
  const following = others.filter((other) => other.term === leader.term && other.leader !== null && sameMember(other.leader, leader.peerId))
  if (newer)
    return gate('G1', 'E_NO_LEADER', `${name} leads in term ${leader.term}, but ${addressOf(newer)} is in term ${newer.term} already`)
  return {
    ...gate('G1', '', `${name} leads in term ${leader.term}, by its own word and that of ${following.length} of ${others.length} others`),
    passed: true,
  }
}

function statusOf(leader: RaftStat) {
  const peers = (list: readonly string[]) => new Configuration(list.map(peerOf))
  const joint = leader.stage === 'joint'
  const entry = { index: logIndex(leader.confIndex), term: asTerm(leader.term) }
  return {
    peerId: peerOf(leader.peerId),
    configuration: joint
      ? new ConfigurationEntry(entry, peers(leader.peers), peers(leader.oldPeers ?? []))
      : new ConfigurationEntry(entry, peers(leader.peers)),
    configurationCommitted: leader.confIndex <= leader.committedIndex,
    committedIndex: logIndex(leader.committedIndex),
    electionTimeoutMs: leader.electionTimeoutMs ?? 0,
    heartbeatMs: 0,
    peers: leader.replicators.map(peerStatus),
    membership: { stage: stageOf(leader.stage), target: null },
  }
}

const STAGES = ['catching_up', 'joint', 'stable'] as const

function stageOf(stage: string | null): MembershipStage {
  return STAGES.find((known) => known === stage) ?? 'none'
}

/** A peer whose last request was answered is heard; how long ago that was braft does not say. */
function peerStatus(peer: ReplicatorStat) {
  return {
    peerId: peerOf(peer.peerId),
    matchIndex: logIndex(matchOf(peer) ?? 0),
    nextIndex: logIndex(peer.nextIndex),
    ...{ inflightRequests: peer.flying, inflightBytes: 0, state: 'replicate' as const },
    lastContactMs: answersLeader(peer) === true ? 0 : null,
    consecutiveErrors: peer.errors,
    lastError: '',
    ...{
      rebuilding: false,
      isShort: false,
      readonlyIndex: NO_INDEX,
      priority: DEFAULT_PRIORITY,
      witness: peer.peerId.endsWith(':1'),
      snapshotBytesSent: 0,
      snapshotBytesTotal: 0,
    },
  }
}

function silenceOf(leader: RaftStat, peer: PeerId): string | null {
  const errors = leader.replicators.find((one) => peerKey(one.peerId) === peer.key)?.errors ?? 0
  return errors === 0 ? 'has not answered this leader yet' : `does not answer the leader (${grouped(errors)} requests in a row failed)`
}

/** Whether what runs at the address can become a member. */
function joinable({ peer, name }: AddedPeer, { stat, problem, elsewhere }: Newcomer, leader: RaftStat): Gate {
  if (elsewhere) return gate('G6', 'E_NOT_JOINABLE', `${name} ${problem}`)
  if (stat === null) return gate('G6', WAITING, `${name} does not answer: ${problem}`)
  const unfit = whyBraftIsUnfit(stat, peer, leader.peers.map(peerOf))
  if (unfit !== null) return gate('G6', 'E_NOT_JOINABLE', `${name} ${unfit}`)
  const log = stat.lastIndex === 0 ? 'empty log' : `log of these members up to ${grouped(stat.lastIndex)}`
  return { ...gate('G6', '', `${name} answers, ${log}`), passed: true }
}

function gate(name: Gate['gate'], code: string, message: string): Gate {
  return { gate: name, passed: false, forcible: false, code, message, instead: '' }
}

function planGate({ gate: name, passed, forcible, code, message, instead }: Gate): PlanGate {
  return { gate: name, passed, forcible, code: code || null, message, instead: instead || null }
}

function addressOf({ peerId }: RaftStat): string {
  return peerOf(peerId).address
}

function sameMember(a: string, b: string): boolean {
  return !isEmptyPeer(a) && peerKey(a) === peerKey(b)
}

/** What braft printed is what it parsed: IPv4 and two numbers. */
export function peerOf(text: string): PeerId {
  return PeerId.parse(text) ?? PeerId.EMPTY
}
