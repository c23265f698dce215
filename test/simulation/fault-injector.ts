import { ErrorCode, Status } from '../../src/raft/errors.js'
import { ProcessEnded } from '../../src/testing/scheduler.js'
import type { Link } from '../../src/testing/sim-group.js'
import type { SimRandom } from '../../src/testing/sim-random.js'
import { InvariantViolation, type SimCluster } from './cluster.js'
import type { DamageInjector } from './damage-injector.js'
import type { Act, FaultKind, Who } from './decisions.js'
import type { SimMember } from './member.js'

type Fault = Extract<Act, { kind: FaultKind }>
type Damage = Extract<Act, { kind: 'rot' | 'misdirected' | 'stale' }>
type Partition = Extract<Act, { kind: 'isolate' | 'split' | 'bridge' | 'oneWay' | 'swizzle' }>
type PointFault = Extract<Act, { kind: 'point' }>

/** Does what was decided to go wrong, and mends it again when its time is over. */
export class FaultInjector {
  constructor(
    private readonly cluster: SimCluster,
    /** For what follows from what the nodes do. */
    private readonly random: SimRandom,
    private readonly damage: DamageInjector,
  ) {}

  /** False when there was nothing that it could happen to. */
  perform(fault: Fault): boolean {
    switch (fault.kind) {
      case 'isolate':
      case 'split':
      case 'bridge':
      case 'oneWay':
      case 'swizzle':
        return this.cut(this.linksOf(fault), fault.forMs)
      case 'point':
        return this.arm(fault)
      default: {
        const member = this.cluster.find(fault.who)
        if (!member?.isUp || (fault.kind === 'shutdown' && member.process!.stopping)) return false
        // Leases hold only while clocks do not jump.
        if (fault.kind === 'clockJump' && !this.cluster.options.clockJumps) return false
        if (isDamage(fault)) return this.damage.inflict(fault.kind, member, fault)
        this.performOn(member, fault)
        return true
      }
    }
  }

  private performOn(member: SimMember, fault: Exclude<Fault, Partition | PointFault | Damage>): void {
    const { cluster } = this
    switch (fault.kind) {
      case 'power':
        cluster.crash(member, { keep: fault.keep, poweredOn: fault.poweredOn })
        return this.later(fault.forMs, () => cluster.start(member))
      case 'kill':
        this.endProcess(member)
        return this.later(fault.forMs, () => cluster.start(member))
      case 'shutdown':
        return this.shutdown(member, fault.forMs)
      case 'pause':
        return this.pause(member, fault.forMs)
      case 'slow':
        return cluster.slowDown(member, fault.turnMs, fault.forMs)
      case 'clockJump':
        return member.process!.jump(fault.byMs)
      case 'stall':
        return cluster.stallDisk(member, fault.forMs)
      case 'clog': {
        const towards = cluster.find(fault.towards)
        return towards ? cluster.clog(member, towards, fault.forMs) : undefined
      }
      case 'diskError':
        return this.diskError(member, fault.writes, fault.syncs, fault.forMs)
      case 'full':
        return this.fillDisk(member, fault.bytes, fault.forMs)
      case 'space':
        return this.runShort(member, fault.forMs)
      case 'readOnly':
        return this.makeReadOnly(member, fault.forMs)
      case 'readError':
        return this.failReads(member, fault.reads, fault.forMs)
      case 'slowDisk':
        member.profile.slowness = fault.times
        return this.later(fault.forMs, () => this.mendDisk(member))
    }
  }

  /** Whoever runs the node restarts it some time after it gave up. */
  supervise(member: SimMember): void {
    const { process } = member
    this.later(this.random.exponential(this.cluster.electionTimeoutMs), () => {
      if (member.process !== process) return
      // What a failed disk kept in its cache is gone: the operator's repair is a reboot.
      this.cluster.crash(member, { poweredOn: true })
      this.later(1, () => this.cluster.start(member))
    })
  }

  mendDisk(member: SimMember): void {
    member.profile.writeErrorRate = 0
    member.profile.syncErrorRate = 0
    member.profile.readErrorRate = 0
    member.profile.slowness = 1
    member.disk.capacityBytes = Infinity
  }

  private pause(member: SimMember, forMs: number): void {
    this.cluster.pause(member)
    this.later(forMs, () => this.cluster.resume(member))
  }

  private runShort(member: SimMember, forMs: number): void {
    const { process } = member
    for (const each of member.host.members) each.run('space:short', (node) => node.setDiskSpace('short'))
    this.later(forMs, () => {
      if (member.process === process) this.endShortage(member)
    })
  }

  /** Every group on that machine is told that there is space again. */
  endShortage(member: SimMember): void {
    for (const each of member.host.members) if (each.isUp) each.run('space:ample', (node) => node.setDiskSpace('ample'))
  }

  private makeReadOnly(member: SimMember, forMs: number): void {
    const { process } = member
    member.run('read-only:enter', (node) => node.enterReadonlyMode())
    this.later(forMs, () => {
      if (member.process === process) this.makeWritable(member)
    })
  }

  makeWritable(member: SimMember): void {
    if (member.isUp) member.run('read-only:leave', (node) => node.leaveReadonlyMode())
  }

  private arm(fault: PointFault): boolean {
    const member = fault.who === 'any' ? null : this.cluster.find(fault.who)
    if (!member && fault.who !== 'any') return false
    this.cluster.points.arm(fault.name, member, (struck) => this.strike(struck, fault))
    return true
  }

  /** Happens in the middle of the code of that member. */
  private strike(member: SimMember, { name, strike, keep, forMs }: PointFault): Status | null {
    const { cluster } = this
    cluster.scheduler.note('point', null, `${member.name} ${name} ${strike}`)
    if (strike === 'fail') {
      member.diskFaulted = true
      return Status.error(ErrorCode.EIO, `the step after ${name} was made to fail`)
    }
    if (strike === 'pause') {
      this.pause(member, forMs)
      return null
    }
    if (strike === 'power') cluster.crash(member, { keep })
    else this.endProcess(member)
    this.later(forMs, () => cluster.start(member))
    throw new ProcessEnded(name)
  }

  private later(ms: number, fn: () => void): void {
    this.cluster.scheduler.schedule(ms, null, 'later', fn)
  }

  /** Every node in that process stops, then the process does what it still has to do in this turn, and exits. */
  private shutdown(member: SimMember, forMs: number): void {
    const { cluster } = this
    const { process, host } = member
    process!.stopping = true
    const exit = (): void => {
      if (member.process !== process) return
      // What its next turn does may itself post work: it is through when a whole millisecond finds nothing waiting.
      if (process!.isBehind) return this.later(1, () => this.later(1, exit))
      for (const { name, openClosures } of host.members)
        if (openClosures !== 0) throw new InvariantViolation(`${name} stopped and owes ${openClosures} answers`)
      this.endProcess(member)
      this.later(forMs, () => cluster.start(member))
    }
    let running = host.members.length
    for (const each of host.members) {
      each.run('client:shutdown', (node) =>
        node.shutdown(() => {
          if (--running === 0) this.later(1, exit)
        }),
      )
    }
  }

  /** After a failed sync the cache shows what the disk lacks: only a reboot makes such a machine honest again. */
  private endProcess(member: SimMember): void {
    if (member.diskFaulted) this.cluster.crash(member)
    else this.cluster.kill(member)
  }

  private diskError(member: SimMember, writeErrorRate: number, syncErrorRate: number, forMs: number): void {
    const { cluster } = this
    cluster.scheduler.note('disk-errors', null, member.name)
    cluster.counts.diskErrors++
    member.diskFaulted = true
    Object.assign(member.profile, { writeErrorRate, syncErrorRate })
    this.later(forMs, () => this.mendDisk(member))
  }

  private failReads(member: SimMember, readErrorRate: number, forMs: number): void {
    member.diskFaulted = true
    member.profile.readErrorRate = readErrorRate
    this.later(forMs, () => this.mendDisk(member))
  }

  private fillDisk(member: SimMember, bytes: number, forMs: number): void {
    const { cluster } = this
    cluster.scheduler.note('disk-full', null, member.name)
    cluster.counts.diskErrors++
    member.diskFaulted = true
    member.disk.capacityBytes = member.disk.usedBytes() + bytes
    this.later(forMs, () => this.mendDisk(member))
  }

  /** Cuts those links, and mends them when the time is over. */
  private cut(links: readonly Link[], forMs: number): boolean {
    if (links.length === 0) return false
    const { cluster } = this
    cluster.cutLinks(links)
    this.later(forMs, () => cluster.mendLinks(links))
    return true
  }

  private linksOf(fault: Partition): Link[] {
    const { members } = this.cluster
    if (fault.kind === 'oneWay' || fault.kind === 'swizzle') return between(this.membersOf(fault.from), this.membersOf(fault.to))
    if (fault.kind !== 'isolate') return bothWays(this.membersOf(fault.one), this.membersOf(fault.other))
    const member = this.cluster.find(fault.who)
    return member ? bothWays([member], members) : []
  }

  private membersOf(names: readonly Who[]): SimMember[] {
    return names.flatMap((name) => this.cluster.find(name) ?? [])
  }
}

function isDamage(fault: Fault): fault is Damage {
  return fault.kind === 'rot' || fault.kind === 'misdirected' || fault.kind === 'stale'
}

function between(from: readonly SimMember[], to: readonly SimMember[]): Link[] {
  return from.flatMap((source) => to.filter((target) => target !== source).map((target) => ({ from: source, to: target })))
}

function bothWays(one: readonly SimMember[], other: readonly SimMember[]): Link[] {
  return [...between(one, other), ...between(other, one)]
}
