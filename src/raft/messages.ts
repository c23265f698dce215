import type { Status } from './errors.js'
import type { EntryBatch } from './log-entry.js'
import type { PeerId } from './peer-id.js'
import type { SnapshotMeta } from './storage.js'
import type { LogId, LogIndex, Term } from './types.js'

/**
 * What members say to each other, free of any wire format. Each corresponds to a message of braft's raft.proto or of
 * raftctl.v1.Peer; adapters in src/rpc translate.
 */

/** From whom to whom, in which group. */
export interface Addressed {
  readonly groupId: string
  readonly serverId: PeerId
  readonly peerId: PeerId
}

/** A leader and the term in which it led. */
export interface TermLeader {
  readonly peerId: PeerId
  readonly term: Term
}

/** Also the request of a pre-vote, with `term` one above the sender's. */
export interface RequestVoteRequest extends Addressed {
  readonly term: Term
  readonly lastLogTerm: Term
  readonly lastLogIndex: LogIndex
  /** The leader that handed over or was disrupted: its stickiness does not protect it from this vote. */
  readonly disruptedLeader: TermLeader | null
}

/** Whether a vote, or a pre-vote, was given. */
export interface RequestVoteResponse {
  readonly term: Term
  readonly granted: boolean
  readonly disrupted: boolean
  readonly previousTerm: Term
  readonly rejectedByLease: boolean
}

/** Without entries it is a probe or a heartbeat. */
export interface AppendEntriesRequest extends Addressed {
  readonly term: Term
  readonly prevLogTerm: Term
  readonly prevLogIndex: LogIndex
  readonly committedIndex: LogIndex
  readonly entries: EntryBatch | null
  /** Without entries: others with a higher priority than the receiver's are well. Absent: none are, or the leader knows of none. */
  readonly outranked?: boolean
}

/** What a follower answers to entries or a heartbeat. */
export interface AppendEntriesResponse {
  /** The follower's term; a success carries exactly the leader's. */
  readonly term: Term
  readonly success: boolean
  /** The follower's last index; always present on failure and in answers to a request without entries. */
  readonly lastLogIndex: LogIndex
  /** The follower is in read-only mode: it should be sent nothing but configurations. */
  readonly readonly: boolean
  /** The follower takes no entries now: its disk runs short. braft members know no such thing. */
  readonly short: boolean
  /** Of the follower, to be leader; absent where it is the default. */
  readonly priority?: number
  /** The follower is being rebuilt: the leader counts this answer for nothing. */
  readonly rebuilding: boolean
}

/** Campaign now: the leader hands over. */
export interface TimeoutNowRequest extends Addressed {
  readonly term: Term
  readonly oldLeaderSteppedDown: boolean
}

/** In which term the candidate campaigns. */
export interface TimeoutNowResponse {
  readonly term: Term
  readonly success: boolean
}

/** Held until the snapshot is installed or refused; sent again while the same download goes on. */
export interface InstallSnapshotRequest extends Addressed {
  readonly term: Term
  readonly meta: SnapshotMeta
  /** `remote://host:port/<reader>`: where its files are read, and by which reader. */
  readonly uri: string
}

/** Whether a snapshot was installed. */
export interface InstallSnapshotResponse {
  readonly term: Term
  readonly success: boolean
}

/** A piece of a file of the snapshot that a reader of the asked member holds open. */
export interface GetFileRequest extends Addressed {
  /** A signed 64-bit number in decimal: braft's are beyond what a number holds. */
  readonly readerId: string
  readonly filename: string
  /** Bytes from the start of the file. */
  readonly offset: number
  readonly count: number
}

/** A piece of a file of a snapshot. */
export interface GetFileResponse {
  readonly eof: boolean
  readonly data: Buffer
  /** CRC-32C of `data`. */
  readonly crc32c: number
}

/**
 * The leader of `term` settles a rebuilding member: that incarnation counts again once it durably holds everything up to
 * `upTo`, which was committed without it: a marker, or, where it is in no configuration, the newest entry committed then.
 */
export interface SettleRequest extends Addressed {
  readonly term: Term
  readonly incarnation: string
  readonly upTo: LogId
}

/** Whether a member that was rebuilt counts from now on. */
export interface SettleResponse {
  readonly term: Term
  readonly settled: boolean
}

/** How the leader makes sure that it still leads: by a round of answers, or by its lease and, without a valid one, by that round. */
export type ReadMode = 'confirmed' | 'lease'

/** A follower asks its leader up to where it must have applied before it may answer a linearizable read. */
export interface ReadIndexRequest extends Addressed {
  readonly mode: ReadMode
}

/** The index up to which a follower must have applied before it reads. */
export interface ReadIndexResponse {
  readonly index: LogIndex
}

/** The leader of `term` hands over: its followers may vote for another at once. */
export interface ReleaseRequest extends Addressed {
  readonly term: Term
}

/** Whether a follower is bound to its leader no more. */
export interface ReleaseResponse {
  readonly term: Term
}

/** Whether a data directory may have a past (an empty directory never votes for a past it may have lost). */
export type Standing = 'founding' | 'rebuilding' | 'member'

/** Who a directory is; exchanged before members trust each other. */
export interface HelloRequest extends Addressed {
  readonly incarnation: string
  readonly standing: Standing
}

/** Who answers to a hello, and whom it founded a group with. */
export interface HelloResponse {
  readonly incarnation: string
  readonly standing: Standing
  /** The answering process, new at every start. */
  readonly bootId: string
  /** The founders and their incarnations by PeerId key, once this member knows all of them. */
  readonly founders: ReadonlyMap<string, string> | null
  readonly lastLogIndex: LogIndex
}

/** Every call between members: its request and its answer. */
export interface PeerCalls {
  hello: { request: HelloRequest; response: HelloResponse }
  preVote: { request: RequestVoteRequest; response: RequestVoteResponse }
  requestVote: { request: RequestVoteRequest; response: RequestVoteResponse }
  timeoutNow: { request: TimeoutNowRequest; response: TimeoutNowResponse }
  installSnapshot: { request: InstallSnapshotRequest; response: InstallSnapshotResponse }
  getFile: { request: GetFileRequest; response: GetFileResponse }
  settle: { request: SettleRequest; response: SettleResponse }
  readIndex: { request: ReadIndexRequest; response: ReadIndexResponse }
  release: { request: ReleaseRequest; response: ReleaseResponse }
}

/** Calls between members, by name. */
export type PeerMethod = keyof PeerCalls

/** The answer of a call; `response` is there exactly when `status` is OK. */
export type Answer<R> = (status: Status, response?: R) => void

/** What a member answers; NodeImpl implements it, adapters and the simulator call it on the executor. */
export interface PeerHandler {
  handleHello(request: HelloRequest, answer: Answer<HelloResponse>): void
  handlePreVote(request: RequestVoteRequest, answer: Answer<RequestVoteResponse>): void
  handleRequestVote(request: RequestVoteRequest, answer: Answer<RequestVoteResponse>): void
  handleAppendEntries(request: AppendEntriesRequest, answer: Answer<AppendEntriesResponse>): void
  handleInstallSnapshot(request: InstallSnapshotRequest, answer: Answer<InstallSnapshotResponse>): void
  handleGetFile(request: GetFileRequest, answer: Answer<GetFileResponse>): void
  handleSettle(request: SettleRequest, answer: Answer<SettleResponse>): void
  handleTimeoutNow(request: TimeoutNowRequest, answer: Answer<TimeoutNowResponse>): void
  handleReadIndex(request: ReadIndexRequest, answer: Answer<ReadIndexResponse>): void
  handleRelease(request: ReleaseRequest, answer: Answer<ReleaseResponse>): void
  /** An append stream from `peer` broke: its process may be gone. */
  handleStreamBroken(peer: PeerId): void
}
