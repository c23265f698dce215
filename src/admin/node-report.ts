/** What runs at an address: a node of ours, or one of C++ braft, which says less. */
export type NodeKind = 'raftctl' | 'braft'

/** What one node says about itself and its group, in plain words: unknown is null, ids are strings. Engines make it. */
export interface NodeReport {
  readonly kind: NodeKind
  /** Where it was asked: `host:port`. */
  readonly endpoint: string
  readonly group: string
  /** `host:port:idx:role`. */
  readonly peerId: string
  readonly name: string
  /** Null while the founders do not know each other yet. */
  readonly clusterId: string | null
  /** Null where a node knows no such thing. */
  readonly standing: string | null
  /** braft's names: LEADER, FOLLOWER, … */
  readonly raftState: string
  readonly term: number
  /** PeerId; null when it gave no vote in its term, and where it does not say. */
  readonly votedFor: string | null
  readonly leaderId: string | null
  readonly leaderContactMs: number | null
  readonly leaderForMs: number | null
  /** It leads and takes writes: the first entry of its leadership is committed. */
  readonly leaderReady: boolean
  /** Since that entry was committed; null before, and where it does not say. */
  readonly leaderReadyForMs: number | null
  readonly firstIndex: number
  readonly lastIndex: number
  readonly lastTerm: number
  /** Newest entry that is durable here. */
  readonly durableIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  readonly snapshot: SnapshotReport | null
  /** idle, saving, downloading or loading. */
  readonly snapshotState: string
  /** Of the snapshot that is being downloaded; total 0 otherwise. */
  readonly snapshotBytesDone: number
  readonly snapshotBytesTotal: number
  /** A snapshot is taken every so often; 0: only on demand. */
  readonly snapshotIntervalMs: number
  readonly membership: MembershipReport | null
  /** On the leader only. */
  readonly progress: readonly ProgressReport[]
  readonly electionTimeoutMs: number
  readonly heartbeatMs: number | null
  readonly logBytes: number | null
  readonly dataBytes: number | null
  readonly dataDir: string | null
  /** Of a hundred recent durable writes; null before the first. */
  readonly syncP99Ms: number | null
  /** Where the time of writes goes, in the order of the stages; empty where it took none as leader, and where it does not say. */
  readonly writeStages: readonly WriteStageReport[]
  readonly pid: number | null
  readonly incarnation: string | null
  /** Grows whenever its members are set by hand; null where a node knows no such thing. */
  readonly generation: number | null
  readonly machineRevision: number | null
  readonly version: string | null
  readonly uptimeMs: number | null
  /** Why the node stopped taking part; null when it did not. */
  readonly error: string | null
  readonly alarms: readonly string[]
  readonly readOnly: boolean
  /** To be leader; null where a node knows no such thing. */
  readonly priority: number | null
  readonly machine: string | null
  readonly mixed: boolean
}

export interface SnapshotReport {
  readonly index: number
  readonly term: number
  readonly bytes: number | null
  readonly ageMs: number | null
}

/** One stage of the newest writes through a leader: queue, append, replicate, commit, apply, total. */
export interface WriteStageReport {
  readonly stage: string
  readonly p50Ms: number
  readonly p99Ms: number
}

export type MemberRole = 'voter' | 'learner' | 'witness'

export interface MemberReport {
  readonly peerId: string
  readonly name: string
  readonly role: MemberRole
}

export interface MembershipReport {
  readonly members: readonly MemberReport[]
  /** Not empty while a joint configuration is in force. */
  readonly oldMembers: readonly MemberReport[]
  /** Of the entry that last changed the members; a braft node names the newest one that holds them. */
  readonly configIndex: number
  /** Of the newest entry that holds them: every leader opens its term with one. */
  readonly entryIndex: number
  readonly stage: string
  readonly committed: boolean
}

/** How the leader sees a peer. */
export interface ProgressReport {
  readonly peerId: string
  /** What runs there, as far as the leader knows. */
  readonly kind: NodeKind | null
  /** Null while it is not known. */
  readonly matchIndex: number | null
  readonly nextIndex: number
  readonly inflightRequests: number
  readonly inflightBytes: number
  readonly state: string
  readonly lastContactMs: number | null
  /** Whether it answers the leader, where the leader counts failures and no times; null: `lastContactMs` says it, or nobody knows yet. */
  readonly answering: boolean | null
  readonly consecutiveErrors: number
  readonly lastError: string
  readonly rebuilding: boolean
  readonly snapshotBytesSent: number
  readonly snapshotBytesTotal: number
}

/** How far a request to a node came. */
export type Stage = 'dns' | 'tcp' | 'tls' | 'grpc' | 'http'

/** A node that did not answer, and how far the question came. */
export interface NodeFailure {
  readonly endpoint: string
  readonly code: string
  readonly stage: Stage | null
  readonly message: string
  /** What to do instead, where a node said more than that it cannot. */
  readonly hint?: string
}

export type NodeReply = { readonly endpoint: string } & ({ readonly report: NodeReport } | { readonly failure: NodeFailure })

/** `host:port` of a PeerId. */
export function addressOf(peerId: string): string {
  const inBrackets = /^(\[[^\]]+\]:\d+)/.exec(peerId)
  return inBrackets ? (inBrackets[1] as string) : peerId.split(':').slice(0, 2).join(':')
}

/** A member as a sentence calls it: its name with its address, which is all that a member of braft has. */
export function calledAt({ id, address }: { readonly id: string; readonly address: string }): string {
  return id === address ? id : `${id} (${address})`
}

/** What makes two PeerIds the same member: everything but the role. */
export function peerKey(peerId: string): string {
  const address = addressOf(peerId)
  const [idx = '0'] = peerId.slice(address.length + 1).split(':')
  return `${address}:${idx || '0'}`
}

export function isEmptyPeer(peerId: string): boolean {
  return peerId === '' || peerKey(peerId) === '0.0.0.0:0:0'
}
