import { AppendHandler } from './append-handler.js'
import { ApplyQueue } from './apply-queue.js'
import { BallotBox } from './ballot-box.js'
import { CheckQuorum } from './check-quorum.js'
import type { Closure, Done } from './closure.js'
import { ClosureQueue } from './closure-queue.js'
import { type ConfigurationEntry, encodeConfiguration, type Members } from './configuration.js'
import { recoverFromDisk } from './disk-recovery.js'
import { DiskWatch } from './disk-watch.js'
import { Election } from './election.js'
import type { Environment } from './environment.js'
import { assert, ErrorCode, ErrorType, RaftError, Status } from './errors.js'
import type { EventOrigin, RaftEvent, RaftState } from './events.js'
import { type Founding, handleHello } from './founding.js'
import { FSMCaller } from './fsm-caller.js'
import { LeaderLease } from './lease.js'
import { EntryBatch, EntryType } from './log-entry.js'
import { LogManager } from './log-manager.js'
import { Membership } from './membership.js'
import type * as m from './messages.js'
import type { NodeOptions } from './node-options.js'
import type { NodeStatus } from './node-status.js'
import { statusOf } from './node-view.js'
import { PeerId } from './peer-id.js'
import { Precedence } from './precedence.js'
import { ReadIndexService } from './read-index.js'
import { ReadOnlyMode } from './read-only.js'
import { handleSettle } from './rebuilding.js'
import { Removal } from './removal.js'
import type { Replicator } from './replicator.js'
import { ReplicatorGroup } from './replicator-group.js'
import { Settling } from './settling.js'
import { SnapshotExecutor } from './snapshot-executor.js'
import { SpaceWatch } from './space-watch.js'
import { Stickiness } from './stickiness.js'
import { shutDown } from './stopping.js'
import type { NodeIdentity } from './storage.js'
import type { Survey } from './survey.js'
import { TermVote } from './term-vote.js'
import { Timeouts } from './timeouts.js'
import { LeadershipTransfer } from './transfer.js'
import { type LogIndex, NO_INDEX, plus, type Term } from './types.js'
import { Witness } from './witness.js'
import { WitnessMachine } from './witness-machine.js'
import { WriteLatency } from './write-latency.js'

type WithoutOrigin<E> = E extends RaftEvent ? Omit<E, keyof EventOrigin> : never

/**
 * A member of a Raft group (braft NodeImpl): owns its state, term, log, machine and timers, and the parts that act on them.
 *
 * Everything runs on the executor, one handler at a time, to completion; nothing here waits.
 *
 * Invariants
 * - state LEADER or TRANSFERRING ⇔ the replicators run and the ballot box has a pending index.
 * - leaderId is this node ⇔ it leads; it is empty while a candidate.
 * - after ERROR nothing is written, sent or applied any more.
 */
export class NodeImpl implements m.PeerHandler {
  state: RaftState = 'UNINITIALIZED'
  leaderId = PeerId.EMPTY
  identity: NodeIdentity | null = null
  founding: Founding | null = null
  survey: Survey | null = null
  options!: NodeOptions
  env!: Environment
  timeouts!: Timeouts

  disk!: DiskWatch
  space!: SpaceWatch
  readOnly!: ReadOnlyMode
  precedence!: Precedence
  meta!: TermVote
  log!: LogManager
  ballotBox!: BallotBox
  fsmCaller!: FSMCaller
  election!: Election
  stickiness!: Stickiness
  lease!: LeaderLease
  reads!: ReadIndexService
  transfer!: LeadershipTransfer
  replicators!: ReplicatorGroup
  snapshots!: SnapshotExecutor
  settling!: Settling
  readonly witness = new Witness(this)
  readonly closures = new ClosureQueue()
  applyQueue!: ApplyQueue
  writeLatency!: WriteLatency
  checkQuorum!: CheckQuorum
  membership!: Membership
  removal!: Removal
  /** Since when this node leads or follows its leader. */
  leaderSince: number | null = null
  /** Since when `leaderReady`. */
  leaderReadySince: number | null = null
  error: RaftError | null = null
  initialized = false

  private appendHandler!: AppendHandler
  private firstIndexOfTerm: LogIndex = NO_INDEX
  private leadership = 0

  constructor(
    readonly groupId: string,
    readonly serverId: PeerId,
  ) {}

  init(options: NodeOptions, done: Done): void {
    assert(this.state === 'UNINITIALIZED' && !this.initialized, 'init ran twice')
    this.initialized = true
    this.options = options
    this.env = options.environment
    this.timeouts = new Timeouts(options)
    this.assemble(options)
    recoverFromDisk(this, (status) => {
      if (this.isStopping()) return done(Status.error(ErrorCode.ESHUTDOWN, 'the node was stopped while it started'))
      if (!status.ok) {
        this.setState('ERROR', status)
        this.error ??= new RaftError(ErrorType.LOG, status)
        return done(status)
      }
      this.setState('FOLLOWER', Status.OK)
      this.observe({ name: 'node.started', term: this.meta.term, firstIndex: this.log.firstIndex, lastIndex: this.log.lastIndex })
      this.stickiness.onStarted()
      if (!this.configuration.isEmpty) this.election.start()
      this.snapshots.start()
      done(Status.OK)
    })
  }

  private assemble(options: NodeOptions): void {
    const { environment, initialConf, logStorage: storage } = options
    const { isWitness } = this.serverId
    const neededFrom = () => this.replicators.neededFrom
    const origin = { groupId: this.groupId, peerId: this.serverId }
    const onError = (error: RaftError) => this.onError(error)
    this.disk = new DiskWatch(this)
    this.space = new SpaceWatch(this)
    this.readOnly = new ReadOnlyMode(this)
    this.precedence = new Precedence(this)
    this.meta = new TermVote(
      options.metaStorage,
      ({ term, votedFor }) => this.observe({ name: 'meta.durable', term, votedFor }),
      (status) => this.onError(new RaftError(ErrorType.STABLE, status)),
      this.disk.of('meta'),
    )
    this.log = new LogManager({ environment, origin, storage, initialConf, watch: this.disk.of('log'), isWitness, neededFrom, onError })
    this.ballotBox = new BallotBox((index) => this.onCommitted(index))
    this.fsmCaller = new FSMCaller({
      environment,
      origin,
      fsm: isWitness ? new WitnessMachine(options.fsm, environment.executor) : options.fsm,
      logManager: this.log,
      closures: this.closures,
      onError,
      onConfigurationApplied: (entry) => this.onConfigurationApplied(entry),
      onApplied: (index) => this.writeLatency.onApplied(index),
    })
    this.writeLatency = new WriteLatency(environment.clock, this.serverId, this.ballotBox)
    this.replicators = new ReplicatorGroup(this)
    this.snapshots = new SnapshotExecutor(this)
    this.settling = new Settling(this)
    this.lease = new LeaderLease(this)
    this.stickiness = new Stickiness(this)
    this.election = new Election(this)
    this.reads = new ReadIndexService(this)
    this.transfer = new LeadershipTransfer(this)
    this.checkQuorum = new CheckQuorum(this)
    this.membership = new Membership(this)
    this.removal = new Removal(this)
    this.appendHandler = new AppendHandler(this)
    this.applyQueue = new ApplyQueue(this)
  }

  /** The first entry of this leadership is committed and applied: reads may be confirmed, members changed, leadership transferred. */
  get leaderReady(): boolean {
    return this.leaderReadySince !== null
  }

  get electionTimeoutMs(): number {
    return this.timeouts.electionMs
  }

  get heartbeatMs(): number {
    return this.timeouts.heartbeatMs
  }

  get configuration(): ConfigurationEntry {
    return this.log.configurations.last
  }

  observe(event: WithoutOrigin<RaftEvent>): void {
    this.env.observer.event({ groupId: this.groupId, peerId: this.serverId, ...event } as RaftEvent)
  }

  /** Why requests of peers are refused now; null when they are taken. */
  refusal(): Status | null {
    if (this.state === 'UNINITIALIZED') return Status.error(ErrorCode.EAGAIN, 'the node is starting')
    if (!this.isActive()) return Status.error(ErrorCode.EINVAL, `node is in state ${this.state}`)
    return null
  }

  isActive(): boolean {
    return this.state === 'LEADER' || this.state === 'TRANSFERRING' || this.state === 'CANDIDATE' || this.state === 'FOLLOWER'
  }

  /** This directory lost its past: it grants no vote, and its answers count for nothing. */
  get isRebuilding(): boolean {
    return this.identity?.standing === 'rebuilding'
  }

  isStopping(): boolean {
    return this.state === 'SHUTTING' || this.state === 'SHUTDOWN'
  }

  leads(): boolean {
    return this.state === 'LEADER' || this.state === 'TRANSFERRING'
  }

  setState(to: RaftState, reason: Status): void {
    const from = this.state
    if (from === to) return
    this.state = to
    this.observe({ name: 'state.changed', from, to, term: this.meta.term, reason })
  }

  raiseTerm(term: Term, votedFor: PeerId): void {
    const from = this.meta.term
    this.meta.update(term, votedFor)
    if (term > from) this.observe({ name: 'term.raised', term, from })
  }

  follow(leader: PeerId): void {
    this.leaderId = leader
    this.leaderSince = this.env.clock.now()
    this.election.onLeaderFollowed()
    this.witness.onLeaderFollowed()
    this.stickiness.onLeaderFollowed(leader)
    this.removal.onLeaderFollowed()
    this.observe({ name: 'leader.followed', leader, term: this.meta.term })
    this.fsmCaller.onStartFollowing({ leaderId: leader, term: this.meta.term, status: Status.OK })
    this.transfer.onLeaderFollowed()
    this.survey?.onLeaderFollowed()
  }

  loseLeader(reason: Status): void {
    if (this.leaderId.isEmpty) return
    const leader = this.leaderId
    this.leaderId = PeerId.EMPTY
    this.leaderSince = null
    if (leader.equals(this.serverId)) return
    this.observe({ name: 'leader.lost', leader, term: this.meta.term, reason })
    if (this.isActive()) this.reads.onLeaderLost(Status.error(ErrorCode.EAGAIN, `the leader was lost: ${reason.message}`))
    this.fsmCaller.onStopFollowing({ leaderId: leader, term: this.meta.term, status: reason })
  }

  becomeLeader(): void {
    assert(this.state === 'CANDIDATE', 'only a candidate becomes leader', { state: this.state })
    assert(this.meta.isDurable, 'a leader whose own vote is not durable')
    this.election.stop()
    this.setState('LEADER', Status.OK)
    this.env.failpoints.hit('leader.elected')
    this.leadership++
    this.lease.renew()
    this.leaderId = this.serverId
    this.leaderSince = this.env.clock.now()
    this.firstIndexOfTerm = plus(this.log.lastIndex, 1)
    this.ballotBox.resetPending(this.firstIndexOfTerm)
    this.closures.resetFirst(this.firstIndexOfTerm)
    this.replicators.startAll(this.configuration)
    this.checkQuorum.start()
    this.precedence.onBecomeLeader()
    this.witness.onBecomeLeader()
    this.membership.onBecomeLeader()
  }

  /**
   * Appends a configuration as leader and answers its index: it is in force from here on. `configIndex`: the entry that last
   * changed the members, when this one only repeats them.
   */
  proposeConfiguration(members: Members, configIndex: LogIndex | null, done: Closure | null = null): LogIndex {
    const index = plus(this.log.lastIndex, 1)
    const entry = { type: EntryType.CONFIGURATION, data: encodeConfiguration(members, configIndex) }
    this.propose(EntryBatch.encode(index, this.meta.term, [entry], this.env.checksum))
    this.closures.push([done])
    this.replicators.replicate()
    return index
  }

  /** Appends to the own log as leader; the followers are sent it in parallel with the own disk write. */
  propose(batch: EntryBatch): void {
    const { leadership } = this
    this.log.append(batch, (status) => {
      if (!status.ok || this.leadership !== leadership || !this.leads()) return
      this.writeLatency.onDurable(batch.lastIndex)
      this.applyQueue.onDurable(batch.lastIndex)
      this.ballotBox.commitAt(batch.lastIndex, this.serverId)
      this.replicators.replicateToWitnesses()
    })
    this.ballotBox.append(batch.firstIndex, batch.lastIndex, this.configuration)
  }

  /** Becomes a follower in `term`, with that vote in it if it is a new one; a no-op for a node that is not active (braft step_down). */
  stepDown(term: Term, reason: Status, vote = PeerId.EMPTY): void {
    if (!this.isActive()) return
    this.leave('FOLLOWER', reason)
    // A closure that was told of the loss may have stopped this node.
    if (!this.isActive()) return
    if (term > this.meta.term) this.raiseTerm(term, vote)
    this.election.restartTimer()
  }

  /** Leaves the current state for one that does not lead. The state changes first: closures that run see the new one. */
  leave(to: 'FOLLOWER' | 'ERROR' | 'SHUTTING', reason: Status): void {
    const { state: from } = this
    this.setState(to, reason)
    this.loseLeader(reason)
    this.snapshots.installer.interrupt(reason)
    this.appendHandler.cache.release()
    if (from !== 'LEADER' && from !== 'TRANSFERRING') return
    this.leadership++
    this.leaderReadySince = null
    this.checkQuorum.stop()
    this.witness.onStepDown()
    this.replicators.stopAll()
    this.settling.stop()
    this.ballotBox.clearPending()
    this.writeLatency.onStepDown()
    if (from === 'LEADER') this.fsmCaller.onLeaderStop(reason)
    this.applyQueue.rejectAll(Status.error(ErrorCode.EPERM, 'is not leader'))
    const lost = Status.error(ErrorCode.EOUTCOMEUNKNOWN, `leadership was lost: ${reason.message}`)
    for (const done of this.closures.clear()) done.run(lost)
    this.reads.onLeaderStop(Status.error(ErrorCode.EPERM, 'is not leader'))
    this.transfer.onStepDown(reason)
    this.membership.onStepDown(reason)
  }

  /** A leader believes only a member: others may have raised their term for nothing. */
  onHigherTerm(term: Term, from: PeerId): void {
    if (this.leads() && !this.configuration.knows(from)) return
    if (term > this.meta.term) this.stepDown(term, Status.error(ErrorCode.EHIGHERTERMRESPONSE, `${from} is in term ${term}`))
  }

  onPeerContact(replicator: Replicator): void {
    if (!this.leads()) return
    this.writeLatency.onAcknowledged()
    this.reads.onContact(replicator)
    this.replicators.onContact(replicator)
    this.precedence.onContact(replicator)
    this.membership.onContact()
    this.witness.onContact()
  }

  private onCommitted(index: LogIndex): void {
    this.env.observer.event({ groupId: this.groupId, peerId: this.serverId, name: 'commit.advanced', index })
    this.writeLatency.onCommitted(index)
    this.applyQueue.onCommitted(index)
    this.log.setCommitted(index)
    this.fsmCaller.onCommitted(index)
  }

  private onConfigurationApplied(entry: ConfigurationEntry): void {
    if (this.leads() && !this.leaderReady && entry.id.index >= this.firstIndexOfTerm) {
      this.leaderReadySince = this.env.clock.now()
      this.observe({ name: 'leader.ready', term: this.meta.term, index: entry.id.index })
      this.fsmCaller.onLeaderStart(this.meta.term)
      this.reads.onLeaderReady()
    }
    this.removal.onApplied(entry)
    this.membership.onApplied(entry)
  }

  /** Storage or the machine failed: nothing can be trusted from here on (braft NodeImpl::on_error). */
  onError(error: RaftError): void {
    if (this.error || this.isStopping()) return
    this.error = error
    this.observe({ name: 'node.error', status: error.status })
    this.election.stop()
    this.leave('ERROR', error.status)
    this.founding?.cancel(error.status)
    this.fsmCaller.onError(error)
    this.reads.shutdown(error.status)
  }

  shutdown(done: Done): void {
    shutDown(this, done)
  }

  handleHello(request: m.HelloRequest, answer: m.Answer<m.HelloResponse>): void {
    handleHello(this, request, answer)
  }

  handlePreVote(request: m.RequestVoteRequest, answer: m.Answer<m.RequestVoteResponse>): void {
    this.election.handlePreVote(request, answer)
  }

  handleRequestVote(request: m.RequestVoteRequest, answer: m.Answer<m.RequestVoteResponse>): void {
    this.election.handleRequestVote(request, answer)
  }

  handleAppendEntries(request: m.AppendEntriesRequest, answer: m.Answer<m.AppendEntriesResponse>): void {
    this.appendHandler.handle(request, answer)
  }

  handleInstallSnapshot(request: m.InstallSnapshotRequest, answer: m.Answer<m.InstallSnapshotResponse>): void {
    this.appendHandler.cache.release()
    this.snapshots.installer.handle(request, answer)
  }

  handleGetFile({ readerId, filename, offset, count }: m.GetFileRequest, answer: m.Answer<m.GetFileResponse>): void {
    this.snapshots.readers.read(readerId, filename, offset, count, (status, piece) =>
      status.ok ? answer(status, { ...piece!, crc32c: this.env.checksum.crc32c(piece!.data) }) : answer(status),
    )
  }

  handleSettle(request: m.SettleRequest, answer: m.Answer<m.SettleResponse>): void {
    handleSettle(this, request, answer)
  }

  handleTimeoutNow(request: m.TimeoutNowRequest, answer: m.Answer<m.TimeoutNowResponse>): void {
    this.transfer.handleTimeoutNow(request, answer)
  }

  handleReadIndex(request: m.ReadIndexRequest, answer: m.Answer<m.ReadIndexResponse>): void {
    this.reads.handle(request, answer)
  }

  handleRelease(request: m.ReleaseRequest, answer: m.Answer<m.ReleaseResponse>): void {
    this.transfer.handleRelease(request, answer)
  }

  handleStreamBroken(peer: PeerId): void {
    if (this.isActive()) this.stickiness.onStreamBroken(peer)
  }

  status(): NodeStatus {
    return statusOf(this)
  }
}
