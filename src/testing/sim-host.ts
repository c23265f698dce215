import type { FileSystem, Transport } from '../raft/environment.js'
import type { PeerId } from '../raft/peer-id.js'
import { DiskDamage } from './disk-damage.js'
import type { GroupMember } from './group-member.js'
import type { Scheduler } from './scheduler.js'
import { SimDisk } from './sim-disk.js'
import { type DiskProfile, SimFileSystem } from './sim-file-system.js'
import type { SimNetwork } from './sim-network.js'
import { SimProcess } from './sim-process.js'
import type { SimRandom } from './sim-random.js'

/** What a process gives to each member in it. */
export interface Birth {
  readonly process: SimProcess
  readonly fileSystem: FileSystem
  readonly transport: Transport
  readonly random: SimRandom
}

export interface HostOptions {
  /** Where its process is found; the index and role of a member are its own. */
  readonly peerId: PeerId
  readonly clockRate: number
  readonly timerLatenessMs: number
  readonly clockJumps: boolean
}

/**
 * One machine of a simulated world: its disk, which outlives everything, its place in the network, and the process that runs on it
 * now, with a member of every group in it. Whatever ends the process ends all of them.
 */
export class SimHost {
  readonly name: string
  readonly disk: SimDisk
  process: SimProcess | null = null
  /** Its members, one of each group. */
  readonly members: GroupMember[] = []
  /** Its disk was told to fail since the process started: then that may stop with an error. */
  diskFaulted = false
  /** What the disk answers otherwise than it was written. */
  readonly damage: DiskDamage
  /** What lies on the disk was damaged since it was whole at a start. */
  wasDamaged = false
  private incarnations = 0

  constructor(
    private readonly scheduler: Scheduler,
    private readonly network: SimNetwork,
    readonly id: number,
    readonly options: HostOptions,
    readonly random: SimRandom,
    readonly profile: DiskProfile,
  ) {
    this.name = `n${id}`
    this.disk = new SimDisk(random.fork('crash'))
    this.damage = new DiskDamage(this.disk)
  }

  /** A process runs on it, paused or not. */
  get isUp(): boolean {
    return this.process?.alive === true
  }

  /** Its disk fails, or is full, right now. */
  get diskFails(): boolean {
    const { writeErrorRate, syncErrorRate, readErrorRate = 0 } = this.profile
    return writeErrorRate > 0 || syncErrorRate > 0 || readErrorRate > 0 || this.disk.capacityBytes !== Infinity
  }

  /** Starts a process on this machine's disk, and in it every member. */
  start(): void {
    const incarnation = ++this.incarnations
    const random = this.random.fork(`process ${incarnation}`)
    const { address } = this.options.peerId
    const process = new SimProcess(this.scheduler, this.name, this.id, address, incarnation, random.fork('clock'), this.options)
    const fileSystem = new SimFileSystem(this.scheduler, process, this.disk, this.profile, random.fork('disk'))
    const transport = this.network.transportOf(process)
    this.process = process
    this.diskFaulted = this.diskFails
    this.wasDamaged = this.damage.isDamaged
    for (const member of this.members) member.boot({ process, fileSystem, transport, random })
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

  /** The disk is lost, and with it everything that any member knew. */
  wipe(): void {
    this.end(false)
    this.disk.wipe()
  }

  private end(poweredOn: boolean): void {
    const { process } = this
    if (!process?.alive) return
    process.die()
    this.process = null
    for (const member of this.members) member.ended()
    this.network.processGone(this.options.peerId.address, poweredOn)
  }
}
