import type { MembershipReport, NodeFailure, NodeReply, NodeReport, ProgressReport } from '../../../src/admin/node-report.js'

/** Replies as nodes n1 to nN at 10.0.0.1:7001, … would give them. */
export function peer(at: number): string {
  return `${address(at)}:0:0`
}

export function address(at: number): string {
  return `10.0.0.${at}:7001`
}

export function membership(size: number, changes: Partial<MembershipReport> = {}): MembershipReport {
  const members = Array.from({ length: size }, (_, at) => ({ peerId: peer(at + 1), name: `n${at + 1}`, role: 'voter' as const }))
  const { configIndex = 5 } = changes
  return { members, oldMembers: [], configIndex, entryIndex: configIndex, stage: 'stable', committed: true, ...changes }
}

export function progress(at: number, changes: Partial<ProgressReport> = {}): ProgressReport {
  return {
    peerId: peer(at),
    matchIndex: 100,
    nextIndex: 101,
    inflightRequests: 0,
    inflightBytes: 0,
    state: 'replicate',
    kind: null,
    lastContactMs: 20,
    answering: null,
    consecutiveErrors: 0,
    lastError: '',
    rebuilding: false,
    snapshotBytesSent: 0,
    snapshotBytesTotal: 0,
    ...changes,
  }
}

export function report(at: number, changes: Partial<NodeReport> = {}): NodeReport {
  return {
    kind: 'raftctl',
    endpoint: address(at),
    group: 'kv',
    peerId: peer(at),
    name: `n${at}`,
    clusterId: 'c1',
    standing: 'member',
    raftState: 'FOLLOWER',
    term: 8,
    votedFor: peer(1),
    leaderId: peer(1),
    leaderContactMs: 15,
    leaderForMs: 60_000,
    leaderReady: false,
    leaderReadyForMs: null,
    firstIndex: 1,
    lastIndex: 100,
    lastTerm: 8,
    durableIndex: 100,
    commitIndex: 100,
    appliedIndex: 100,
    snapshot: null,
    snapshotState: 'idle',
    snapshotBytesDone: 0,
    snapshotBytesTotal: 0,
    snapshotIntervalMs: 3_600_000,
    membership: membership(3),
    progress: [],
    electionTimeoutMs: 1000,
    heartbeatMs: 100,
    logBytes: 1000,
    dataBytes: 2000,
    dataDir: '/d',
    syncP99Ms: 1.5,
    writeStages: [],
    pid: 4242,
    incarnation: 'i1',
    generation: 0,
    machineRevision: 7,
    version: '0.1.0',
    uptimeMs: 1000,
    error: null,
    alarms: [],
    readOnly: false,
    priority: null,
    machine: 'kv',
    mixed: false,
    ...changes,
  }
}

/** n1, leading n2 and n3. */
export function leader(changes: Partial<NodeReport> = {}): NodeReport {
  return report(1, { raftState: 'LEADER', leaderContactMs: null, progress: [progress(2), progress(3)], ...changes })
}

export function up(one: NodeReport): NodeReply {
  return { endpoint: one.endpoint, report: one }
}

export function down(at: number, changes: Partial<NodeFailure> = {}): NodeReply {
  return {
    endpoint: address(at),
    failure: { endpoint: address(at), code: 'E_UNREACHABLE', stage: 'tcp', message: 'connection refused', ...changes },
  }
}
