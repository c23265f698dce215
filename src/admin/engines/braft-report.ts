import type { RaftStat, ReplicatorStat } from '../../rpc/raft-stat-text.js'
import { isEmptyPeer, type MemberReport, type NodeReport, type ProgressReport } from '../node-report.js'
import type { ProcessFacts } from './braft-pages.js'

const LEADS = new Set(['LEADER', 'TRANSFERRING'])

/** A node of braft in the words of the commands. What its pages do not say is null; nothing is guessed. */
export function braftReport(endpoint: string, stat: RaftStat, process: ProcessFacts): NodeReport {
  const leads = LEADS.has(stat.state)
  const leaderId = leads ? stat.peerId : stat.leader === null || isEmptyPeer(stat.leader) ? null : stat.leader
  return {
    kind: 'braft',
    ...{ endpoint, group: stat.group, peerId: stat.peerId, name: '', clusterId: null, standing: null },
    ...{ raftState: stat.state, term: stat.term, votedFor: null, leaderId, leaderForMs: null },
    leaderContactMs: leads || leaderId === null ? null : stat.leaderContactMs,
    // The configuration that opens a term counts as a change until it is committed.
    leaderReady: stat.state === 'LEADER' && stat.confIndex <= stat.committedIndex,
    leaderReadyForMs: null,
    ...{ firstIndex: stat.firstIndex, lastIndex: stat.lastIndex, lastTerm: stat.lastTerm, durableIndex: stat.diskIndex },
    ...{ commitIndex: stat.committedIndex, appliedIndex: stat.appliedIndex },
    snapshot: stat.snapshotIndex > 0 ? { index: stat.snapshotIndex, term: stat.snapshotTerm, bytes: null, ageMs: null } : null,
    ...{ snapshotState: stat.snapshotState, snapshotBytesDone: 0, snapshotBytesTotal: 0 },
    snapshotIntervalMs: stat.snapshotIntervalMs ?? 0,
    membership: {
      members: stat.peers.map(memberOf),
      oldMembers: stat.stage === 'joint' ? (stat.oldPeers ?? []).map(memberOf) : [],
      ...{ configIndex: stat.confIndex, entryIndex: stat.confIndex, stage: stat.stage ?? 'none' },
      committed: stat.confIndex <= stat.committedIndex,
    },
    progress: leads ? stat.replicators.map(progressOf) : [],
    electionTimeoutMs: stat.electionTimeoutMs ?? 0,
    heartbeatMs: null,
    ...{
      logBytes: null,
      dataBytes: null,
      dataDir: null,
      syncP99Ms: null,
      writeStages: [],
      pid: process.pid,
      incarnation: null,
      generation: null,
      machineRevision: null,
    },
    version: process.revision === null ? 'braft' : `braft ${process.revision.slice(0, 12)}`,
    ...{ uptimeMs: process.uptimeMs, error: null, alarms: [], readOnly: stat.readOnly, priority: null, machine: null, mixed: false },
  }
}

/** The fourth part of a PeerId of braft is its role; 1 is a witness. */
function memberOf(peerId: string): MemberReport {
  return { peerId, name: '', role: peerId.split(':')[3] === '1' ? 'witness' : 'voter' }
}

function progressOf(peer: ReplicatorStat): ProgressReport {
  const state = stateOf(peer)
  return {
    ...{
      kind: null,
      peerId: peer.peerId,
      matchIndex: matchOf(peer),
      nextIndex: peer.nextIndex,
      inflightRequests: peer.flying,
      inflightBytes: 0,
      state,
    },
    ...{ lastContactMs: null, answering: answersLeader(peer), consecutiveErrors: peer.errors },
    lastError: peer.errors === 0 ? '' : 'requests in a row failed',
    ...{ rebuilding: false, snapshotBytesSent: 0, snapshotBytesTotal: 0 },
  }
}

function stateOf({ activity, appending, errors }: ReplicatorStat): string {
  if (errors > 0 || activity === 'blocking') return 'blocked'
  if (activity === 'installing') return 'snapshot'
  return isProbe(appending) ? 'probe' : 'replicate'
}

/** Whether its last request was answered; null while the first one, which asks what the peer holds, still waits: nobody knows yet. */
export function answersLeader({ appending, errors }: ReplicatorStat): boolean | null {
  if (errors > 0) return false
  return isProbe(appending) ? null : true
}

/** Until a peer has answered, the next index is the leader's guess, not what the peer holds. */
export function matchOf({ activity, appending, errors, nextIndex, flying }: ReplicatorStat): number | null {
  const isKnown = errors === 0 && (activity === 'idle' || activity === 'appending') && !isProbe(appending)
  return isKnown ? Math.max(0, nextIndex - flying - 1) : null
}

function isProbe(appending: ReplicatorStat['appending']): boolean {
  return appending !== null && appending.first > appending.last
}
