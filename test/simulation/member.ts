import { type Closure, closure } from '../../src/raft/closure.js'
import type { Configuration } from '../../src/raft/configuration.js'
import type { Environment, Executor } from '../../src/raft/environment.js'
import { ErrorCode, type Status } from '../../src/raft/errors.js'
import type { RaftEvent } from '../../src/raft/events.js'
import { Node } from '../../src/raft/node.js'
import type { PeerId } from '../../src/raft/peer-id.js'
import type { RaftMeta } from '../../src/raft/storage.js'
import { checksum } from '../../src/storage/checksum.js'
import { DurableLog } from './disk-image.js'
import { DurableFileSystem } from './durable-file-system.js'
import type { ApplyListener, RegisterMachine } from './register-machine.js'
import type { Scheduler } from './scheduler.js'
import { SimDirectory, SimDisk } from './sim-disk.js'
import { type DiskProfile, SimFileSystem } from './sim-file-system.js'
import type { SimNetwork } from './sim-network.js'
import { SimProcess } from './sim-process.js'
import type { SimRandom } from './sim-random.js'
import { DATA_DIRECTORY, GROUP, openStorages, PATHS, readMeta } from './storages.js'

export interface MemberOptions {
  readonly peerId: PeerId
  /** Empty: it waits to be added. */
  readonly initialConf: Configuration
  readonly catchupMargin?: number
  readonly electionTimeoutMs: number
  /** A new segment of the log begins above this size. */
  readonly maxSegmentBytes: number
  readonly clockRate: number
  readonly timerLatenessMs: number
  readonly createMachine: (listener: ApplyListener, executor: Executor) => RegisterMachine
}

/** What those around a member are told. */
export interface MemberListener {
  readonly applied: ApplyListener
  event(member: SimMember, event: RaftEvent): void
  /** `init` ended: with OK the member takes part. */
  started(member: SimMember, status: Status): void
}

/**
 * One machine of a simulated cluster: its disk, which outlives everything, and the process that runs on it now, with a
 * real Node over the real storage code.
 */
export class SimMember {
  readonly name: string
  readonly peerId: PeerId
  readonly disk: SimDisk
  readonly profile: DiskProfile
  readonly durableLog: DurableLog
  process: SimProcess | null = null
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
  /** Its disk was told to fail since it started: then it may stop with an error. */
  diskFaulted = false
  private incarnations = 0
  private metaStamp = -1
  private meta: { term: number; votedFor: string } = { term: 1, votedFor: '' }

  constructor(
    private readonly scheduler: Scheduler,
    private readonly network: SimNetwork,
    readonly id: number,
    readonly options: MemberOptions,
    private readonly random: SimRandom,
    profile: DiskProfile,
    private readonly listener: MemberListener,
  ) {
    this.name = `n${id}`
    this.peerId = options.peerId
    this.profile = profile
    this.disk = new SimDisk(random.fork('crash'))
    this.durableLog = new DurableLog(this.disk, PATHS.log, checksum)
  }

  get isUp(): boolean {
    return this.process?.alive === true
  }

  /** Its disk fails, or is full, right now. */
  get diskFails(): boolean {
    return this.profile.writeErrorRate > 0 || this.profile.syncErrorRate > 0 || this.disk.capacityBytes !== Infinity
  }

  /** Starts a process on this machine's disk. */
  start(standing: 'founding' | 'member' = this.options.initialConf.isEmpty ? 'member' : 'founding'): void {
    const incarnation = ++this.incarnations
    const random = this.random.fork(`process ${incarnation}`)
    const process = new SimProcess(this.scheduler, this.name, this.id, this.peerId.address, incarnation, random.fork('clock'), this.options)
    const fileSystem = new SimFileSystem(this.scheduler, process, this.disk, this.profile, random.fork('disk'))
    const environment: Environment = {
      clock: process.clock,
      executor: process.executor,
      random: random.fork('node'),
      transport: this.network.transportOf(process),
      checksum,
      observer: { event: (event) => this.observe(process, event) },
      failpoints: { hit: () => null },
    }
    const machine = this.options.createMachine(this.listener.applied, process.executor)
    const node = new Node(GROUP, this.peerId)
    Object.assign(this, { process, machine, node, leadsTerm: 0, failed: null, openClosures: 0, diskFaulted: this.diskFails })
    this.seen = { term: 0, committed: 0, applied: 0 }
    process.handlers.set(GROUP, node.handler)
    const bootId = random.fork('boot').hex(16)
    const storages = openStorages(fileSystem, environment, this.options)
    node.init(
      {
        environment,
        initialConf: this.options.initialConf,
        fsm: machine,
        ...storages,
        standing,
        bootId,
        electionTimeoutMs: this.options.electionTimeoutMs,
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

  /** The process dies, what the kernel holds stays: kill -9. */
  kill(): void {
    this.end(true)
  }

  /** The machine loses power: what was not synced is lost, torn or there, by chance. */
  crash(options: { keep?: number; poweredOn?: boolean } = {}): { torn: boolean } {
    this.end(options.poweredOn ?? false)
    return this.disk.crash(options.keep)
  }

  /** Term and vote as a power loss at this moment would leave them, read by the real storage. */
  durableMeta(): { term: number; votedFor: string } {
    const stamp = this.stampOf(DATA_DIRECTORY) + this.stampOf(PATHS.raftMeta) + this.stampOf(PATHS.integrity)
    if (stamp === this.metaStamp) return this.meta
    this.metaStamp = stamp
    const fileSystem = new DurableFileSystem(this.disk)
    let found: RaftMeta | null = null
    readMeta(fileSystem, { post: (fn) => fileSystem.later(fn) }, (status, meta) => {
      if (status.ok) found = meta!
    })
    fileSystem.drain()
    this.meta = found ? { term: (found as RaftMeta).term, votedFor: (found as RaftMeta).votedFor.key } : { term: 0, votedFor: '' }
    return this.meta
  }

  private stampOf(path: string): number {
    const node = this.disk.lookupDurable(path)
    if (!(node instanceof SimDirectory)) return 0
    let stamp = node.durableVersion
    for (const child of node.durableNames.values()) stamp += child.durableVersion
    return stamp
  }

  private end(poweredOn: boolean): void {
    const { process } = this
    if (!process?.alive) return
    process.die()
    this.process = null
    this.node = null
    this.machine = null
    this.network.processGone(this.peerId.address, poweredOn)
  }

  private observe(process: SimProcess, event: RaftEvent): void {
    if (this.process !== process) return
    this.touched = true
    if (event.name === 'node.error') this.failed = event.status
    this.scheduler.note(event.name, process, describe(event))
    this.listener.event(this, event)
  }
}

/** What of an event belongs in the trace. */
function describe(event: RaftEvent): string {
  switch (event.name) {
    case 'state.changed':
      return `${event.from} → ${event.to} term ${event.term} ${event.reason.ok ? '' : event.reason}`
    case 'commit.advanced':
    case 'apply.advanced':
    case 'log.durable':
      return String(event.index)
    case 'log.truncated':
      return String(event.lastKept)
    case 'node.error':
      return event.status.toString()
    case 'vote.granted':
      return `${event.candidate} term ${event.term}`
    case 'meta.durable':
      return `term ${event.term} vote ${event.votedFor.key}`
    default:
      return 'term' in event ? `term ${event.term}` : ''
  }
}

/** A write's fate from the status its closure was given. */
export function outcomeOf(status: Status): 'acked' | 'refused' | 'unknown' {
  if (status.ok) return 'acked'
  return status.code === ErrorCode.EPERM || status.code === ErrorCode.EBUSY ? 'refused' : 'unknown'
}
