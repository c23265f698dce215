import { type Closure, closure } from '../../src/raft/closure.js'
import type { Configuration } from '../../src/raft/configuration.js'
import type { Environment, Executor, FileSystem, Transport } from '../../src/raft/environment.js'
import { ErrorCode, type Status } from '../../src/raft/errors.js'
import type { RaftEvent } from '../../src/raft/events.js'
import type { FailpointName } from '../../src/raft/failpoints.js'
import { Node, type NodeOptions } from '../../src/raft/node.js'
import type { PeerId } from '../../src/raft/peer-id.js'
import type { LogId, LogIndex, Term } from '../../src/raft/types.js'
import { checksum } from '../../src/storage/checksum.js'
import type { DiskDamage } from './disk-damage.js'
import { MemberImage } from './member-image.js'
import type { MachineListener, RegisterMachine } from './register-machine.js'
import type { Scheduler } from './scheduler.js'
import type { SimDisk } from './sim-disk.js'
import type { DiskProfile } from './sim-file-system.js'
import type { SimHost } from './sim-host.js'
import type { SimProcess } from './sim-process.js'
import type { SimRandom } from './sim-random.js'
import { directoryOf, GROUP, openStorages } from './storages.js'

export interface MemberOptions {
  readonly groupId: string
  readonly peerId: PeerId
  /** Empty: it waits to be added. */
  readonly initialConf: Configuration
  readonly electionTimeoutMs: number
  /** A new segment of the log begins above this size. */
  readonly maxSegmentBytes: number
  readonly catchupMargin?: number
  readonly createMachine: CreateMachine
  /** 0: snapshots are taken on demand only. */
  readonly snapshotIntervalMs: number
  readonly node: NodeLimits
}

export type NodeLimits = Pick<
  NodeOptions,
  'snapshotThrottleBytesPerSecond' | 'heldLogBytesMax' | 'pendingTasksMax' | 'pendingBytesMax' | 'leaderLease' | 'maxClockDriftMs'
>

export type CreateMachine = (listener: MachineListener, executor: Executor) => RegisterMachine

/** What those around a member are told. */
export interface MemberListener extends MachineListener {
  event(member: SimMember, event: RaftEvent): void
  /** Its process comes to a named point of the code. */
  point(member: SimMember, name: FailpointName): Status | null
  /** `init` ended: with OK the member takes part. */
  started(member: SimMember, status: Status): void
}

/** What a process gives to each member in it. */
export interface Birth {
  readonly process: SimProcess
  readonly fileSystem: FileSystem
  readonly transport: Transport
  readonly random: SimRandom
}

/**
 * One member of a group in a simulated world, on a machine that it may share with members of other groups: a real Node over the
 * real storage code, and what its checkers keep of it.
 */
export class SimMember {
  readonly name: string
  readonly peerId: PeerId
  /** What the disk is sure to keep of it. */
  readonly image: MemberImage
  node: Node | null = null
  machine: RegisterMachine | null = null
  /** The term this process leads or led last; 0 when it never did. */
  leadsTerm = 0
  /** The highest numbers this process showed. */
  seen = { term: 0, committed: 0, applied: 0 }
  /** Closures handed to this process and not run yet. */
  openClosures = 0
  /** It said something in the current event. */
  touched = false
  failed: Status | null = null
  /** What an empty disk is started as. */
  standing: 'founding' | 'rebuilding'
  /** How often its disk was lost. */
  life = 0
  /** What was committed when its disk was lost last. */
  bornAt = 0
  /** The disk image as it was checked last. */
  checkedChanges = -1
  /** It was told that it is removed, and stopped: only an empty disk can be added again. */
  retired = false
  /** What its lost disks held, by index: its acknowledgements of that may still be on their way. */
  private readonly lost: ReadonlyMap<number, number>[] = []
  /** Where the logs of its lost disks ended that counted. */
  readonly lostIds: LogId[] = []

  constructor(
    private readonly scheduler: Scheduler,
    readonly host: SimHost,
    readonly options: MemberOptions,
    private readonly listener: MemberListener,
  ) {
    this.name = host.name
    this.peerId = options.peerId
    this.image = new MemberImage(host.disk, directoryOf(options.groupId))
    this.standing = options.initialConf.isEmpty ? 'rebuilding' : 'founding'
    host.members.push(this)
  }

  get process(): SimProcess | null {
    return this.host.process
  }

  get disk(): SimDisk {
    return this.host.disk
  }

  get profile(): DiskProfile {
    return this.host.profile
  }

  /** What the disk answers otherwise than it was written. */
  get damage(): DiskDamage {
    return this.host.damage
  }

  get isUp(): boolean {
    return this.host.isUp
  }

  /** The disk was told to fail since the process started: then a member may stop with an error. */
  get diskFaulted(): boolean {
    return this.host.diskFaulted
  }

  set diskFaulted(faulted: boolean) {
    this.host.diskFaulted = faulted
  }

  get diskFails(): boolean {
    return this.host.diskFails
  }

  /** What lies on the disk was damaged since it was whole at a start: then a member may refuse to go on with it. */
  get wasDamaged(): boolean {
    return this.host.wasDamaged
  }

  set wasDamaged(damaged: boolean) {
    this.host.wasDamaged = damaged
  }

  /** Its process starts, and the node in it. */
  boot({ process, fileSystem, transport, random: ofProcess }: Birth): void {
    const { groupId } = this.options
    const random = groupId === GROUP ? ofProcess : ofProcess.fork(groupId)
    const environment: Environment = {
      clock: process.clock,
      executor: process.executor,
      random: random.fork('node'),
      transport,
      checksum,
      observer: { event: (event) => this.observe(process, event) },
      failpoints: { hit: (name) => (this.process === process ? this.listener.point(this, name) : null) },
    }
    const machine = this.options.createMachine(this.listener, process.executor)
    const node = new Node(groupId, this.peerId)
    Object.assign(this, { machine, node, leadsTerm: 0, failed: null, openClosures: 0 })
    this.seen = { term: 0, committed: 0, applied: 0 }
    process.nodes.add(node)
    const bootId = random.fork('boot').hex(16)
    const storages = openStorages(fileSystem, environment, this.options)
    node.init(
      {
        environment,
        initialConf: this.options.initialConf,
        fsm: machine,
        ...storages,
        standing: this.standing,
        bootId,
        electionTimeoutMs: this.options.electionTimeoutMs,
        snapshotIntervalMs: this.options.snapshotIntervalMs,
        ...this.options.node,
        ...(this.options.catchupMargin === undefined ? {} : { catchupMargin: this.options.catchupMargin }),
      },
      (status) => {
        if (this.process !== process) return
        if (!status.ok) this.failed = status
        this.listener.started(this, status)
      },
    )
  }

  /** Runs `fn` in this member's process, as its own code would. */
  run(label: string, fn: (node: Node, machine: RegisterMachine) => void): void {
    const { node, machine, process } = this
    if (!process?.alive) return
    this.scheduler.post(process, label, () => fn(node!, machine!))
  }

  /** A closure that counts as owed by this process until it was run; running it twice is passed on for others to see. */
  owed(done: (status: Status) => void): Closure {
    const { process } = this
    let ran = false
    this.openClosures++
    return closure((status) => {
      if (!ran && this.process === process) this.openClosures--
      ran = true
      done(status)
    })
  }

  /** Its disk is about to be lost, and with it everything it knew: the next start is one of an empty directory. */
  forget(committed: number): void {
    this.bornAt = committed + 1
    const { log } = this.image
    const last = log.lastIndex()
    if (this.image.isMember) this.lostIds.push({ index: last as LogIndex, term: (log.entryAt(last)?.term ?? 0) as Term })
    this.lost.push(log.copy())
    this.standing = 'rebuilding'
    this.life++
    this.retired = false
  }

  /** Does a disk of this member count for the entry, or did one before it was lost? */
  holds(index: number, term: number): boolean {
    const { image } = this
    if (image.isMember && (image.log.entryAt(index)?.term === term || image.snapshotIndex >= index)) return true
    return this.lost.some((log) => log.get(index) === term)
  }

  /** Its process is gone, however it went. */
  ended(): void {
    this.openClosures = 0
    this.node = null
    this.machine = null
  }

  private observe(process: SimProcess, event: RaftEvent): void {
    if (this.process !== process) return
    this.touched = true
    if (event.name === 'node.error') this.failed = event.status
    const { groupId } = this.options
    this.scheduler.note(event.name, process, groupId === GROUP ? describe(event) : `${groupId} ${describe(event)}`)
    this.listener.event(this, event)
  }
}

/** What of an event belongs in the trace. */
function describe(event: RaftEvent): string | number {
  switch (event.name) {
    case 'state.changed':
      return `${event.from} → ${event.to} term ${event.term} ${event.reason.ok ? '' : event.reason}`
    case 'commit.advanced':
    case 'apply.advanced':
    case 'log.durable':
      return event.index
    case 'log.truncated':
      return String(event.lastKept)
    case 'node.error':
      return event.status.toString()
    case 'node.removed':
      return event.reason
    case 'vote.granted':
      return `${event.candidate} term ${event.term}`
    case 'meta.durable':
      return `term ${event.term} vote ${event.votedFor.key}`
    default:
      return 'term' in event ? `term ${event.term}` : ''
  }
}

/** Nothing was proposed. */
const REFUSED: ReadonlySet<number> = new Set([ErrorCode.EPERM, ErrorCode.EBUSY, ErrorCode.ENOSPC, ErrorCode.EREADONLY])

/** A write's fate from the status its closure was given. */
export function outcomeOf(status: Status): 'acked' | 'refused' | 'unknown' {
  if (status.ok) return 'acked'
  return REFUSED.has(status.code) ? 'refused' : 'unknown'
}
