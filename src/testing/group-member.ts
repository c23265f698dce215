import { type Closure, closure } from '../raft/closure.js'
import type { Configuration } from '../raft/configuration.js'
import type { Environment, Executor } from '../raft/environment.js'
import type { Status } from '../raft/errors.js'
import type { RaftEvent } from '../raft/events.js'
import type { FailpointName } from '../raft/failpoints.js'
import { Node, type NodeOptions } from '../raft/node.js'
import type { PeerId } from '../raft/peer-id.js'
import type { StateMachine } from '../raft/raft.js'
import { checksum } from '../storage/checksum.js'
import type { SyncPolicy } from '../storage/log-sync.js'
import { DEFAULT_GROUP, groupDirectory } from '../storage/open-storage.js'
import { describeEvent } from './describe-event.js'
import type { DiskDamage } from './disk-damage.js'
import { DATA_DIRECTORY, openMemberStorage } from './member-storage.js'
import type { Scheduler } from './scheduler.js'
import type { SimDisk } from './sim-disk.js'
import type { DiskProfile } from './sim-file-system.js'
import type { Birth, SimHost } from './sim-host.js'
import type { SimProcess } from './sim-process.js'

/** What of a node's options a simulated group may be given besides those that the group itself decides. */
export type NodeLimits = Pick<
  NodeOptions,
  | 'snapshotThrottleBytesPerSecond'
  | 'filterBeforeCopyRemote'
  | 'installTasks'
  | 'heldLogBytesMax'
  | 'pendingTasksMax'
  | 'pendingBytesMax'
  | 'leaderLease'
  | 'maxClockDriftMs'
  | 'appendCacheSize'
  | 'priority'
  | 'witnessToLeader'
>

/** What one member of a simulated group is made of. */
export interface MemberOptions<M extends StateMachine> {
  readonly groupId: string
  readonly peerId: PeerId
  /** Empty: it waits to be added. */
  readonly initialConf: Configuration
  readonly electionTimeoutMs: number
  /** A new segment of the log begins above this size. */
  readonly maxSegmentBytes: number
  /** When entries of the log become durable. */
  readonly sync: SyncPolicy
  /** Entries: an added member that lacks no more than this may become a member. */
  readonly catchupMargin?: number
  /** Called for every start of the process: a machine lives as long as that does. */
  readonly createMachine: (executor: Executor) => M
  /** 0: snapshots are taken on demand only. */
  readonly snapshotIntervalMs: number
  readonly node: NodeLimits
}

/**
 * One member of a group in a simulated world, on a machine that it may share with members of other groups: a real Node over the
 * real storage code, with the state machine that is under test.
 */
export class GroupMember<M extends StateMachine = StateMachine> {
  /** `n1`, `n2`…, as its machine is called. */
  readonly name: string
  readonly peerId: PeerId
  /** Null while no process runs; so is `machine`. */
  node: Node | null = null
  machine: M | null = null
  /** Closures handed to this process and not run yet. */
  openClosures = 0
  /** Why the node stopped or did not start; null while it is well. */
  failed: Status | null = null
  /** What an empty disk is started as. */
  standing: 'founding' | 'rebuilding'
  /** It is started upon a directory that had another address. */
  moved = false
  /** It was told that it is removed, and stopped: only an empty disk can be added again. */
  retired = false

  constructor(
    protected readonly scheduler: Scheduler,
    readonly host: SimHost,
    readonly options: MemberOptions<M>,
  ) {
    this.name = host.name
    this.peerId = options.peerId
    this.standing = options.initialConf.isEmpty ? 'rebuilding' : 'founding'
    host.members.push(this)
  }

  /** The process it lives in; null while none runs. */
  get process(): SimProcess | null {
    return this.host.process
  }

  /** The disk of its machine, which outlives its processes. */
  get disk(): SimDisk {
    return this.host.disk
  }

  /** How its disk behaves; may be changed while it runs. */
  get profile(): DiskProfile {
    return this.host.profile
  }

  /** What the disk answers otherwise than it was written. */
  get damage(): DiskDamage {
    return this.host.damage
  }

  /** Its process runs, paused or not. */
  get isUp(): boolean {
    return this.host.isUp
  }

  /** Where its files lie on its disk. */
  get directory(): string {
    return groupDirectory(DATA_DIRECTORY, this.options.groupId)
  }

  /** Its process starts, and the node in it. */
  boot({ process, fileSystem, transport, random: ofProcess }: Birth): void {
    const { groupId, peerId, maxSegmentBytes, sync, catchupMargin } = this.options
    const random = groupId === DEFAULT_GROUP ? ofProcess : ofProcess.fork(groupId)
    const environment: Environment = {
      clock: process.clock,
      executor: process.executor,
      random: random.fork('node'),
      transport,
      checksum,
      observer: { event: (event) => this.observe(process, event) },
      failpoints: { hit: (name) => (this.process === process ? this.reached(name) : null) },
    }
    const machine = this.options.createMachine(environment.executor)
    const node = new Node(groupId, peerId)
    Object.assign(this, { machine, node, failed: null, openClosures: 0 })
    process.nodes.add(node)
    const bootId = random.fork('boot').hex(16)
    const storages = openMemberStorage(
      { fileSystem, groupId, peerId, founders: this.options.initialConf.peers, moved: this.moved, maxSegmentBytes, sync },
      environment,
    )
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
        ...(catchupMargin === undefined ? {} : { catchupMargin }),
      },
      (status) => {
        if (this.process !== process) return
        if (!status.ok) this.failed = status
        this.started(status)
      },
    )
  }

  /** Runs `fn` in this member's process, as its own code would; nothing when it does not run. */
  run(label: string, fn: (node: Node, machine: M) => void): void {
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
  forget(): void {
    this.standing = 'rebuilding'
    this.retired = false
  }

  /** Its process is gone, however it went. */
  ended(): void {
    this.openClosures = 0
    this.node = null
    this.machine = null
  }

  /** Whoever watches members overrides these: `init` ended; with OK the member takes part. */
  protected started(_status: Status): void {}

  /** Its process comes to a named point of the code; a status makes that step fail. */
  protected reached(_point: FailpointName): Status | null {
    return null
  }

  /** Its node changed its state. */
  protected observed(_event: RaftEvent): void {}

  private observe(process: SimProcess, event: RaftEvent): void {
    if (this.process !== process) return
    if (event.name === 'node.error') this.failed = event.status
    const { groupId } = this.options
    const text = describeEvent(event)
    this.scheduler.note(event.name, process, groupId === DEFAULT_GROUP ? text : `${groupId} ${text}`)
    this.observed(event)
  }
}
