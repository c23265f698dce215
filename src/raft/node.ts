import type { Done } from './closure.js'
import { Configuration } from './configuration.js'
import { ErrorCode, Status } from './errors.js'
import type { LeaderLeaseStatus } from './lease.js'
import type { EntryBatch } from './log-entry.js'
import type { ChangeOptions } from './membership.js'
import type { PeerHandler, ReadMode } from './messages.js'
import { NodeImpl } from './node-impl.js'
import type { NodeOptions } from './node-options.js'
import type { NodeProgress, NodeStatus } from './node-status.js'
import { isReadOnly, progressOf } from './node-view.js'
import type { PeerId } from './peer-id.js'
import type { Task } from './raft.js'
import type { ReadDone } from './read-index.js'
import type { Piece } from './snapshot-readers.js'
import type { SnapshotMeta, SnapshotReader } from './storage.js'
import { resetElectionTimeout } from './timeouts.js'
import type { LogIndex } from './types.js'
import { readCommittedUserLog, type UserLogDone } from './user-log.js'

export type { ChangeOptions } from './membership.js'
export type { NodeOptions } from './node-options.js'

/**
 * A member of a Raft group: what an application holds (braft Node). A thin wrapper; NodeImpl does the work.
 *
 * Every method must be called on the environment's executor; callbacks run there too.
 */
export class Node {
  private readonly impl: NodeImpl

  constructor(
    readonly groupId: string,
    readonly peerId: PeerId,
  ) {
    this.impl = new NodeImpl(groupId, peerId)
  }

  /** What members ask of each other; give it to the RPC side before `init`, so that founders can say hello. */
  get handler(): PeerHandler {
    return this.impl
  }

  /** Recovers from the storages. `done` once the node takes part, or with why it does not (ECORRUPT, EREBUILD, EIO). */
  init(options: NodeOptions, done: Done): void {
    this.impl.init(options, done)
  }

  /** Stops for good; a leader hands over first. Every closure still waiting is run with an error. */
  shutdown(done: Done): void {
    this.impl.shutdown(done)
  }

  /** Proposes a task. Its closure tells the outcome: EPERM or EBUSY, not taken; EOUTCOMEUNKNOWN, leadership was lost. */
  apply(task: Task): void {
    this.impl.applyQueue.push(task)
  }

  /**
   * `done` with OK once this member has applied all that a linearizable read must see; ETIMEDOUT when not in time. Mode 'lease'
   * spares the leader its round of answers while its lease is valid; without leases it is as 'confirmed'.
   */
  readIndex(timeoutMs: number, done: ReadDone, mode: ReadMode = 'confirmed'): void {
    this.impl.reads.readApplied(timeoutMs, mode, done)
  }

  /** Whether nobody else can lead by now, so that this node may answer reads alone (braft is_leader_lease_valid). */
  isLeaderLeaseValid(): boolean {
    return this.impl.lease.isValid
  }

  /** How this node's lease stands; disabled without the option `leaderLease`. */
  getLeaderLeaseStatus(): LeaderLeaseStatus {
    return this.impl.lease.status
  }

  /** `done` once this member has applied `index`. */
  whenApplied(index: LogIndex, done: Done): void {
    this.impl.fsmCaller.whenApplied(index, done)
  }

  /**
   * Entries from `from` on, at least one, as many as fit `maxBytes` and lie at or below `last`, committed or not. ELOGDELETED:
   * cut off at the front. ERANGE: not there yet. ECANCELED: replaced while it was read. EAGAIN: the node is starting. EPERM: a witness
   * holds no data.
   */
  readLog(from: LogIndex, last: LogIndex, maxBytes: number, done: (status: Status, batch?: EntryBatch) => void): void {
    if (this.impl.state === 'UNINITIALIZED') return done(Status.error(ErrorCode.EAGAIN, 'the node is starting'))
    const { refusal } = this.impl.witness
    if (refusal) return done(refusal)
    this.impl.log.readForOthers(from, last, maxBytes, done)
  }

  /**
   * The first task at or behind `index` that was applied here, with its index: configurations in between are skipped (braft
   * read_committed_user_log). EINVAL: below 1. ENOMOREUSERLOG: nothing was applied there. ELOGDELETED: a snapshot covers it.
   */
  readCommittedUserLog(index: LogIndex, done: UserLogDone): void {
    readCommittedUserLog(this.impl, index, done)
  }

  /** Hands leadership to `target`, or to the best candidate. OK once it took over; ERAFTTIMEDOUT when it did not within T. */
  transferLeadershipTo(target: PeerId | null, done: Done): void {
    this.impl.transfer.start(target, done)
  }

  /** Takes a snapshot of what is applied. OK with the present one when nothing was applied since; EBUSY while another is made. */
  snapshot(done: (status: Status, meta?: SnapshotMeta) => void): void {
    this.impl.snapshots.snapshot(done)
  }

  /**
   * Bytes per second that copying snapshots may take here from now on, sending and receiving each; 0: as many as there are. Copies
   * that run go on at that rate. EINVAL: it is no number of bytes.
   */
  setSnapshotThrottle(bytesPerSecond: number): Status {
    if (!(bytesPerSecond >= 0 && Number.isFinite(bytesPerSecond)))
      return Status.error(ErrorCode.EINVAL, `${bytesPerSecond} is no number of bytes per second`)
    this.impl.snapshots.setThrottle(bytesPerSecond)
    return Status.OK
  }

  /** The newest snapshot, pinned until its reader is closed; ENODATA without one, EPERM on a witness: its own has no files. */
  openSnapshot(done: (status: Status, reader?: SnapshotReader) => void): void {
    const { refusal } = this.impl.witness
    if (refusal) return done(refusal)
    this.impl.snapshots.open(done)
  }

  /**
   * Makes `peer` a member once it has caught up. OK once that is committed, at once when it is a member already.
   * EPERM: not leader. EBUSY: another change or a transfer runs, or the first entry of the term is not committed yet. ESTALE:
   * `expectConfigIndex` differs. ECATCHUP: it did not catch up, the members are what they were. EOUTCOMEUNKNOWN: leadership was
   * lost after the change entered the log; the next leader finishes it, or it is gone.
   */
  addPeer(peer: PeerId, options: ChangeOptions, done: Done): void {
    const { conf } = this.impl.configuration
    this.impl.membership.start(new Configuration([...conf.peers, peer]), options, done)
  }

  /** As `addPeer`. EINVAL: nobody would be left. A leader that removes itself leads until that is committed, then hands over. */
  removePeer(peer: PeerId, options: ChangeOptions, done: Done): void {
    const { conf } = this.impl.configuration
    this.impl.membership.start(new Configuration(conf.peers.filter((member) => !member.equals(peer))), options, done)
  }

  /** Replaces the members by `conf`, as `addPeer`. */
  changePeers(conf: Configuration, options: ChangeOptions, done: Done): void {
    this.impl.membership.start(conf, options, done)
  }

  /**
   * Sets the members by hand, past every quorum: a last resort that can lose acknowledged writes. In memory only, until this
   * node wins an election among them. EINVAL: empty. EPERM: not active. EBUSY: a change is under way here.
   */
  resetPeers(conf: Configuration): Status {
    return this.impl.membership.reset(conf)
  }

  /**
   * Writes the present configuration to the log once more, and answers its index when it is committed and applied here: a place
   * in the log that every state machine is told of (onConfigurationCommitted), and that changes nothing. EPERM: not leader.
   * EBUSY: the members are changing, or the first entry of the term is not committed yet. EOUTCOMEUNKNOWN: leadership was lost.
   */
  repeatConfiguration(done: (status: Status, index?: LogIndex) => void): void {
    this.impl.membership.repeat(done)
  }

  /** A braft leader, which knows nothing of rebuilding, may count what this node acknowledges (survey.ts). */
  get countsForBraft(): boolean {
    return !this.impl.isRebuilding || !this.impl.meta.mayHaveForgotten
  }

  /** The voters, on the leader; null elsewhere. While joint the new ones. */
  listPeers(): Configuration | null {
    return this.isLeader() ? this.impl.configuration.conf : null
  }

  /**
   * A piece of a file of a snapshot that a member was offered under `readerId`. ENOENT: no such reader. EREQUEST: no such
   * range. EPERM: no such file.
   */
  readFile(readerId: string, filename: string, offset: number, count: number, done: (status: Status, piece?: Piece) => void): void {
    this.impl.snapshots.readers.read(readerId, filename, offset, count, done)
  }

  /**
   * Campaigns now, past the stickiness of nobody: for tests and operators. A leader gives its leadership up first and stands
   * again. EPERM in any other state. `electionTimeoutMs` becomes the election timeout first, as by `resetElectionTimeoutMs` (braft vote).
   */
  vote(done: Done, electionTimeoutMs?: number): void {
    if (this.impl.state === 'FOLLOWER' && electionTimeoutMs !== undefined) {
      const status = this.resetElectionTimeoutMs(electionTimeoutMs)
      if (!status.ok) return done(status)
    }
    if (this.impl.state === 'LEADER') {
      this.impl.transfer.standAgain()
      return done(Status.OK)
    }
    const { campaignRefusal } = this.impl.witness
    if (campaignRefusal) return done(campaignRefusal)
    if (this.impl.state !== 'FOLLOWER') return done(Status.error(ErrorCode.EPERM, 'is not follower'))
    this.impl.election.preVote('asked')
    done(Status.OK)
  }

  /**
   * Changes the election timeout of this member, and with it the heartbeats of a leader, while it runs. Without a drift the sum of
   * both stays, and bounds it: EINVAL beyond. Leases, and what followers promise for them, keep to what the node was started with.
   */
  resetElectionTimeoutMs(electionTimeoutMs: number, maxClockDriftMs?: number): Status {
    if (!this.impl.isActive()) return Status.error(ErrorCode.EPERM, `node is in state ${this.impl.state}`)
    return resetElectionTimeout(this.impl, electionTimeoutMs, maxClockDriftMs ?? null)
  }

  /** NOSPACE: refuses entries with ENOSPC, as leader and as follower, until told that there is space again. */
  setDiskSpace(state: 'short' | 'ample'): void {
    this.impl.space.set(state)
  }

  /**
   * From now on this member should take no tasks: its leader sends it only what changes of the members need, and refuses tasks
   * with EREADONLY when it is this one, or when too few others are left (braft enter_readonly_mode). A node that starts is not in it.
   */
  enterReadonlyMode(): void {
    this.impl.readOnly.enter()
  }

  /** Takes entries again (braft leave_readonly_mode). */
  leaveReadonlyMode(): void {
    this.impl.readOnly.leave()
  }

  /** In read-only mode; on a leader also when it takes no tasks because too many others are. */
  get readonly(): boolean {
    return isReadOnly(this.impl)
  }

  /** PeerId.EMPTY when no leader is known. */
  leaderId(): PeerId {
    return this.impl.leaderId
  }

  /** Leads, and is not handing over. It may have been deposed without knowing it yet. */
  isLeader(): boolean {
    return this.impl.state === 'LEADER'
  }

  /** The part of `status` that changes with every entry, for whoever asks often. */
  progress(): NodeProgress {
    return progressOf(this.impl)
  }

  /** Everything it knows of itself now; on a leader of its peers too. */
  status(): NodeStatus {
    return this.impl.status()
  }
}
