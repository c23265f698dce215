import { Configuration } from '../raft/configuration.js'
import type { PeerId } from '../raft/peer-id.js'
import type { StateMachine } from '../raft/raft.js'
import { SYNC_IMMEDIATELY, type SyncPolicy } from '../storage/log-sync.js'
import { DEFAULT_GROUP } from '../storage/open-storage.js'
import type { GroupMember, MemberOptions, NodeLimits } from './group-member.js'
import type { Scheduler } from './scheduler.js'
import type { DiskProfile } from './sim-file-system.js'
import type { SimHost } from './sim-host.js'
import type { NetworkProfile, SimNetwork } from './sim-network.js'
import type { SimRandom } from './sim-random.js'
import type { SimWorld, WorldGroup } from './sim-world.js'

/** What a simulated group consists of, and how its world behaves. Everything is the same in every run of the same options. */
export interface GroupOptions {
  /** Of all chance there is: delays, election timeouts, what a power loss leaves. Another seed is another run. */
  readonly seed: number
  /** How many members found the group. */
  readonly size: number
  /** This many members more, whom nobody knows yet: they have an empty configuration and wait to be added. */
  readonly joiners?: number
  /** Default 1000. */
  readonly electionTimeoutMs?: number
  readonly network?: Partial<NetworkProfile>
  readonly disk?: Partial<DiskProfile>
  /** A new segment of the log begins above this size. Default 64 KiB. */
  readonly maxSegmentBytes?: number
  /** When entries of the log become durable. Default: before they are acknowledged. */
  readonly sync?: SyncPolicy
  /** Clocks run at 1 ± this. */
  readonly clockDrift?: number
  /** At which rate the clock of each member runs, instead. */
  readonly clockRates?: readonly number[]
  /** By how much timers may fire late. Default 0.5. */
  readonly timerLatenessMs?: number
  /** Clocks may be made to jump forward. */
  readonly clockJumps?: boolean
  /** An added member that lacks no more entries than this may become a member. */
  readonly catchupMargin?: number
  /** 0, the default: snapshots are taken on demand only. */
  readonly snapshotIntervalMs?: number
  /** What every node is told besides. */
  readonly node?: NodeLimits
  /** Members, by number from 1, that are witnesses: they vote, and hold no data. */
  readonly witnesses?: readonly number[]
  /** Of each member, to be leader. */
  readonly priorities?: readonly number[]
}

/** One direction between two members. */
export interface Link {
  readonly from: GroupMember
  readonly to: GroupMember
}

/** What is done to a group, as the trace calls it. */
export type Deed =
  | 'start'
  | 'wipe'
  | 'kill'
  | 'power-loss'
  | 'pause'
  | 'resume'
  | 'slow'
  | 'partition'
  | 'cut'
  | 'mend'
  | 'heal'
  | 'clog'
  | 'disk-stall'

/** A run of more events than this turns in circles. */
const EVENTS_MAX = 10_000_000

/**
 * A group of real nodes in a simulated world, and what can happen to it.
 *
 * Owns its members; the world (time, network, machines and their disks) it may share with other groups. What happens to a machine
 * happens to every member on it. Time is virtual: it moves in `run` and `runUntil` only, as fast as the events in it can be run.
 */
export abstract class SimGroup<Member extends GroupMember> implements WorldGroup {
  readonly scheduler: Scheduler
  readonly random: SimRandom
  readonly network: SimNetwork
  readonly members: Member[]
  /** Those members whom the group begins with. */
  readonly initialConf: Configuration
  readonly electionTimeoutMs: number

  constructor(
    readonly options: GroupOptions,
    readonly world: SimWorld,
    readonly groupId: string = DEFAULT_GROUP,
  ) {
    this.scheduler = world.scheduler
    this.network = world.network
    this.random = groupId === DEFAULT_GROUP ? world.random : world.random.fork(groupId)
    this.electionTimeoutMs = options.electionTimeoutMs ?? 1000
    this.initialConf = new Configuration(world.hosts.slice(0, options.size).map((host) => host.options.peerId))
    this.members = world.hosts.map((host) => this.createMember(host))
    world.groups.push(this)
  }

  /** A member of this kind of group on that machine. Called while this is made: nothing of a subclass is there yet. */
  protected abstract createMember(host: SimHost): Member

  /** What a member on that machine is made of, besides its machine. */
  protected memberOptions(host: SimHost): Omit<MemberOptions<StateMachine>, 'createMachine'> {
    const { options, groupId, electionTimeoutMs, initialConf } = this
    const { peerId } = host.options
    const priority = options.priorities?.[host.id - 1]
    return {
      groupId,
      peerId,
      initialConf: initialConf.contains(peerId) ? initialConf : Configuration.EMPTY,
      ...(options.catchupMargin === undefined ? {} : { catchupMargin: options.catchupMargin }),
      electionTimeoutMs,
      maxSegmentBytes: options.maxSegmentBytes ?? 64 * 1024,
      sync: options.sync ?? SYNC_IMMEDIATELY,
      snapshotIntervalMs: options.snapshotIntervalMs ?? 0,
      node: { ...options.node, ...(priority === undefined ? {} : { priority }) },
    }
  }

  check(): void {
    if (this.scheduler.executed > EVENTS_MAX) throw this.failure(`still busy after ${EVENTS_MAX} events, at ${this.now} ms`)
  }

  /** What a run ends with that cannot go on. */
  protected failure(problem: string): Error {
    return new Error(problem)
  }

  forget(host: SimHost): void {
    this.members[host.id - 1]!.forget()
  }

  // ---- time ----

  /** Virtual milliseconds since the world began. */
  get now(): number {
    return this.scheduler.now
  }

  /** Lets this much virtual time pass. */
  run(ms: number): void {
    this.scheduler.runUntil(this.scheduler.now + ms)
  }

  /** Runs until `condition` holds after some event, or for `withinMs`; answers whether it came to hold. */
  runUntil(condition: () => boolean, withinMs: number): boolean {
    const end = this.scheduler.now + withinMs
    while (!condition()) {
      if (!this.scheduler.step(end)) {
        this.scheduler.runUntil(end)
        return condition()
      }
    }
    return true
  }

  // ---- what is so ----

  /** Members whose process runs. */
  get up(): Member[] {
    return this.members.filter((member) => member.isUp)
  }

  /** Those that the group begins with. */
  get founders(): Member[] {
    return this.members.slice(0, this.options.size)
  }

  /** The leader of the highest term among members that run; null without one. */
  leader(): Member | null {
    let leader: Member | null = null
    let term = -1
    for (const member of this.members) {
      if (!member.isUp || member.process!.stopped || !member.node!.isLeader()) continue
      const { term: its } = member.node!.progress()
      if (its > term) [leader, term] = [member, its]
    }
    return leader
  }

  /** A member by its name, or whoever leads. */
  find(who: string): Member | null {
    return who === 'leader' ? this.leader() : (this.members.find((member) => member.name === who) ?? null)
  }

  /** The member with that PeerId. */
  memberOf(peer: PeerId): Member {
    return this.members.find((member) => member.peerId.equals(peer))!
  }

  /** The leader, once it has committed and applied an entry of its term; null before. */
  readyLeader(): Member | null {
    const leader = this.leader()
    if (!leader) return null
    const { term, appliedIndex, lastId } = leader.node!.progress()
    return lastId.term === term && appliedIndex >= lastId.index ? leader : null
  }

  /** These members, or all, run, follow one leader, and have applied all of its log. */
  isConverged(members: readonly Member[] = this.members): boolean {
    const leader = this.leader()
    if (!leader || members.some((member) => !member.isUp || member.failed)) return false
    const { lastId, term } = leader.node!.progress()
    return members.every((member) => {
      const its = member.node!.progress()
      return its.term === term && its.lastId.index === lastId.index && its.lastId.term === lastId.term && its.appliedIndex === lastId.index
    })
  }

  /** How every member stands, in a line. */
  describe(): string {
    return this.members
      .map((member) => {
        if (!member.isUp) return `${member.name} down`
        const { state, term, lastId, committedIndex } = member.node!.progress()
        return `${member.name} ${state} term ${term} last ${lastId.index}/${lastId.term} committed ${committedIndex}${member.failed ? ` failed: ${member.failed}` : ''}`
      })
      .join('; ')
  }

  // ---- what can happen ----

  /** Starts a process on that machine; one that was told that it is removed stays down. */
  start(member: Member): void {
    if (member.isUp || member.retired) return
    this.note('start', member)
    member.host.start()
  }

  /** Starts every member and waits for nothing. */
  startAll(): void {
    for (const member of this.members) this.start(member)
  }

  /** The disk of that machine is lost; `start` then begins to rebuild it. */
  wipe(member: Member): void {
    this.note('wipe', member)
    for (const group of this.world.groups) group.forget(member.host)
    member.host.wipe()
  }

  /** Its process ends at once and its machine goes on, as by kill -9: what was written and not synced is there at the next start. */
  kill(member: Member): void {
    if (!member.isUp) return
    this.note('kill', member)
    member.host.kill()
  }

  /**
   * Its machine loses power: what was not synced is lost, torn or there, by chance (`keep`: with this probability). Answers whether
   * a write was torn; null when it was down.
   */
  crash(member: Member, options: { keep?: number; poweredOn?: boolean } = {}): { torn: boolean } | null {
    if (!member.isUp) return null
    this.note('power-loss', member)
    return member.host.crash(options)
  }

  /** As by SIGSTOP: it keeps its connections and answers nothing until `resume`. */
  pause(member: Member): void {
    if (!member.isUp || member.process!.stopped) return
    this.note('pause', member)
    member.process!.pause()
  }

  /** It goes on, with all that was due meanwhile. */
  resume(member: Member): void {
    if (!member.isUp || !member.process!.stopped) return
    this.note('resume', member)
    member.process!.resume()
  }

  /** Its process gets a processor only once in so many milliseconds, for this long. */
  slowDown(member: Member, turnEveryMs: number, forMs: number): void {
    this.note('slow', member)
    const { process } = member
    process!.slowDown(turnEveryMs)
    this.scheduler.schedule(forMs, null, 'later', () => process!.slowDown(0))
  }

  /** Nothing passes between members of different groups. */
  partition(...groups: readonly (readonly Member[])[]): void {
    this.note('partition', null, groups.map((g) => g.map((m) => m.name).join(',')).join(' | '))
    for (const group of groups) {
      for (const other of groups) {
        if (group === other) continue
        for (const a of group) for (const b of other) this.network.cutOneWay(a.peerId.address, b.peerId.address)
      }
    }
  }

  /** Nothing passes between that member and the others. */
  isolate(member: Member): void {
    this.partition(
      [member],
      this.members.filter((m) => m !== member),
    )
  }

  /** Nothing passes from `from` to `to`. */
  cutOneWay(from: Member, to: Member): void {
    this.note('cut', null, `${from.name} → ${to.name}`)
    this.network.cutOneWay(from.peerId.address, to.peerId.address)
  }

  /** Nothing passes between the two. */
  cut(a: Member, b: Member): void {
    this.cutOneWay(a, b)
    this.cutOneWay(b, a)
  }

  /** Ends every partition, cut and clog. */
  heal(): void {
    this.note('heal', null, '')
    this.network.mendAll()
  }

  /** Nothing passes on these. */
  cutLinks(links: readonly Link[]): void {
    this.note('cut', null, links.map(({ from, to }) => `${from.name} → ${to.name}`).join(' '))
    for (const { from, to } of links) this.network.cutOneWay(from.peerId.address, to.peerId.address)
  }

  /** These pass again. */
  mendLinks(links: readonly Link[]): void {
    this.note('mend', null, links.map(({ from, to }) => `${from.name} → ${to.name}`).join(' '))
    for (const { from, to } of links) this.network.mend(from.peerId.address, to.peerId.address)
  }

  /** What passes from `from` to `to` arrives only after this long. */
  clog(from: Member, to: Member, forMs: number): void {
    this.note('clog', null, `${from.name} → ${to.name}`)
    this.network.clog(from.peerId.address, to.peerId.address, forMs)
  }

  /** The disk of that machine answers nothing for this long, or nothing that concerns `paths`. */
  stallDisk(member: Member, forMs: number, paths = /^/): void {
    this.note('disk-stall', member)
    member.profile.stalledUntil = Math.max(member.profile.stalledUntil, this.now + forMs)
    member.profile.stalledPaths = paths
  }

  /** Something is about to be done to the group: noted in the trace. Whoever counts such things overrides it. */
  protected note(deed: Deed, member: Member | null, detail = member?.name ?? ''): void {
    this.scheduler.note(deed, null, detail)
  }
}
