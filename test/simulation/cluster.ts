import type { Done } from '../../src/raft/closure.js'
import { Configuration } from '../../src/raft/configuration.js'
import type { Status } from '../../src/raft/errors.js'
import type { RaftEvent } from '../../src/raft/events.js'
import type { ChangeOptions } from '../../src/raft/membership.js'
import type { ReadMode } from '../../src/raft/messages.js'
import type { Node } from '../../src/raft/node.js'
import type { PeerId } from '../../src/raft/peer-id.js'
import { ArmedPoints } from './armed-points.js'
import { History, type WriteRecord } from './history.js'
import { Invariants } from './invariants.js'
import { type CreateMachine, type NodeLimits, outcomeOf, SimMember } from './member.js'
import { encodeWrite, type MachineListener, RegisterMachine } from './register-machine.js'
import type { Scheduler } from './scheduler.js'
import type { DiskProfile } from './sim-file-system.js'
import type { SimHost } from './sim-host.js'
import type { NetworkProfile, SimNetwork } from './sim-network.js'
import type { SimRandom } from './sim-random.js'
import { SimWorld } from './sim-world.js'
import { GROUP } from './storages.js'

export interface ClusterOptions {
  readonly seed: number
  /** How many members found the group. */
  readonly size: number
  /** This many members more, whom nobody knows yet: they have an empty configuration and wait to be added. */
  readonly joiners?: number
  readonly electionTimeoutMs?: number
  readonly network?: Partial<NetworkProfile>
  readonly disk?: Partial<DiskProfile>
  readonly maxSegmentBytes?: number
  /** Clocks run at 1 ± this. */
  readonly clockDrift?: number
  /** At which rate the clock of each member runs, instead. */
  readonly clockRates?: readonly number[]
  readonly timerLatenessMs?: number
  /** Clocks may be made to jump forward. */
  readonly clockJumps?: boolean
  readonly catchupMargin?: number
  /** Default: a plain RegisterMachine. */
  readonly createMachine?: CreateMachine
  /** 0, the default: snapshots are taken on demand only. */
  readonly snapshotIntervalMs?: number
  /** What every node is told besides. */
  readonly node?: NodeLimits
  /** A violation is kept in `violations` instead of thrown. */
  readonly collectViolations?: boolean
}

/** A run of more events than this turns in circles. */
const EVENTS_MAX = 10_000_000

/** Events that are counted as they are. */
const COUNTED: Partial<Record<RaftEvent['name'], 'snapshots' | 'installs' | 'rebuilt' | 'removed'>> = {
  'snapshot.saved': 'snapshots',
  'snapshot.installed': 'installs',
  'node.rebuilt': 'rebuilt',
  'node.removed': 'removed',
}

/** One direction between two members. */
export interface Link {
  readonly from: SimMember
  readonly to: SimMember
}

export interface Violation {
  readonly invariant: string
  readonly detail: string
  readonly atMs: number
}

export class InvariantViolation extends Error {
  override name = 'InvariantViolation'
}

/**
 * A group of real nodes in a simulated world, with everything that can happen to it.
 *
 * Owns its members, the invariants and the history of what clients did; the world (time, network, machines and their disks) it may
 * share with other groups. What happens to a machine happens to every member on it.
 * Every event is followed by the checks; the first violation ends the run with an InvariantViolation.
 */
export class SimCluster {
  readonly scheduler: Scheduler
  readonly random: SimRandom
  readonly network: SimNetwork
  readonly members: SimMember[] = []
  readonly history: History
  readonly invariants: Invariants
  readonly electionTimeoutMs: number
  readonly violations: Violation[] = []
  readonly points = new ArmedPoints()
  readonly counts = {
    crashes: 0,
    kills: 0,
    torn: 0,
    midSnapshot: 0,
    midInstall: 0,
    midJoint: 0,
    unsyncedNames: 0,
    restarts: 0,
    pauses: 0,
    partitions: 0,
    clogs: 0,
    transfers: 0,
    diskErrors: 0,
    found: 0,
    replaced: 0,
    stalls: 0,
    failedNodes: 0,
    wipes: 0,
    changesAsked: 0,
    leaseReads: 0,
    snapshotsAsked: 0,
    snapshots: 0,
    installs: 0,
    rebuilt: 0,
    removed: 0,
    /** Leaders that handed over because their disk ran short. */
    shortLeaders: 0,
  }
  /** Hooks of whoever drives the cluster. */
  onEvent: (member: SimMember, event: RaftEvent) => void = () => {}
  onStarted: (member: SimMember, status: Status) => void = () => {}

  constructor(
    readonly options: ClusterOptions,
    /** In a world of its own, unless it is to share one. */
    readonly world = new SimWorld({ ...options, hosts: options.size + (options.joiners ?? 0) }),
    readonly groupId = GROUP,
  ) {
    this.scheduler = world.scheduler
    this.network = world.network
    this.random = groupId === GROUP ? world.random : world.random.fork(groupId)
    this.electionTimeoutMs = options.electionTimeoutMs ?? 1000
    const fail = (invariant: string, detail: string): void => this.fail(invariant, detail)
    this.history = new History(fail, () => this.scheduler.now)
    const founders = new Configuration(world.hosts.slice(0, options.size).map((host) => host.options.peerId))
    for (const host of world.hosts) this.members.push(this.createMember(host, founders))
    this.invariants = new Invariants(this.members, founders, this.history, fail)
    this.network.observers.set(groupId, this.invariants)
    world.clusters.push(this)
  }

  private createMember(host: SimHost, founders: Configuration): SimMember {
    const { options } = this
    const { peerId } = host.options
    const memberOptions = {
      groupId: this.groupId,
      peerId,
      initialConf: founders.contains(peerId) ? founders : Configuration.EMPTY,
      ...(options.catchupMargin === undefined ? {} : { catchupMargin: options.catchupMargin }),
      electionTimeoutMs: this.electionTimeoutMs,
      maxSegmentBytes: options.maxSegmentBytes ?? 64 * 1024,
      snapshotIntervalMs: options.snapshotIntervalMs ?? 0,
      node: options.node ?? {},
      createMachine: options.createMachine ?? ((listener: MachineListener) => new RegisterMachine(listener)),
    }
    const at = host.id - 1
    return new SimMember(this.scheduler, host, memberOptions, {
      applied: (machine, index, term, write) => {
        const member = this.members[at]!
        this.invariants.appliedEntry(member, index, term)
        this.history.applied(machine, member.name, index, term, write.serial)
      },
      loaded: (machine, upTo) => this.history.loaded(machine, this.members[at]!.name, upTo),
      event: (member, event) => {
        this.invariants.observed(member, event)
        const count = COUNTED[event.name]
        if (count) this.counts[count]++
        if (event.name === 'leader.handover' && event.reason.startsWith('its disk runs short')) this.counts.shortLeaders++
        this.onEvent(member, event)
      },
      point: (member, name) => this.points.hit(name, member),
      started: (member, status) => this.onStarted(member, status),
    })
  }

  private fail(invariant: string, detail: string): void {
    this.violations.push({ invariant, detail, atMs: this.scheduler.now })
    this.scheduler.note('VIOLATION', null, `${invariant}: ${detail}`)
  }

  /** Checks what the last event may have broken. */
  check(): void {
    if (this.scheduler.executed > EVENTS_MAX) throw new InvariantViolation(`still busy after ${EVENTS_MAX} events, at ${this.now} ms`)
    for (const member of this.members) {
      if (member.image.changes !== member.checkedChanges) {
        member.checkedChanges = member.image.changes
        this.invariants.diskChanged(member)
      }
      if (!member.touched) continue
      member.touched = false
      this.invariants.numbersMakeSense(member)
    }
    this.throwViolation()
  }

  private throwViolation(): void {
    if (this.violations.length === 0 || this.options.collectViolations) return
    const { invariant, detail } = this.violations[0]!
    throw new InvariantViolation(this.groupId === GROUP ? `${invariant}: ${detail}` : `group ${this.groupId}, ${invariant}: ${detail}`)
  }

  /** Looks at what clients saw, when all is over. */
  judge(): void {
    this.history.judge()
    this.throwViolation()
  }

  // ---- time ----

  get now(): number {
    return this.scheduler.now
  }

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

  get up(): SimMember[] {
    return this.members.filter((member) => member.isUp)
  }

  /** The leader of the highest term among members that run; null without one. */
  leader(): SimMember | null {
    let leader: SimMember | null = null
    for (const member of this.members) {
      if (!member.isUp || member.process!.stopped || !member.node!.isLeader()) continue
      if (!leader || member.leadsTerm > leader.leadsTerm) leader = member
    }
    return leader
  }

  /** Those that the group begins with. */
  get founders(): SimMember[] {
    return this.members.slice(0, this.options.size)
  }

  /** A member by its name, or whoever leads. */
  find(who: string): SimMember | null {
    return who === 'leader' ? this.leader() : (this.members.find((member) => member.name === who) ?? null)
  }

  memberOf(peer: PeerId): SimMember {
    return this.members.find((member) => member.peerId.equals(peer))!
  }

  // ---- what can happen ----

  /** Starts a process on that machine; one that was told that it is removed stays down. */
  start(member: SimMember): void {
    if (member.isUp || member.retired) return
    this.note('start', member)
    this.counts.restarts++
    member.host.start()
  }

  startAll(): void {
    for (const member of this.members) this.start(member)
  }

  /** The disk of that machine is lost; `start` then begins to rebuild it. */
  wipe(member: SimMember): void {
    this.note('wipe', member)
    this.counts.wipes++
    for (const { members, invariants } of this.world.clusters) members[member.host.id - 1]!.forget(invariants.committed.last)
    member.host.wipe()
  }

  kill(member: SimMember): void {
    if (!member.isUp) return
    this.note('kill', member)
    this.counts.kills++
    this.countEnd(member)
    member.host.kill()
  }

  crash(member: SimMember, options: { keep?: number; poweredOn?: boolean } = {}): void {
    if (!member.isUp) return
    this.note('power-loss', member)
    this.counts.crashes++
    this.countEnd(member)
    this.counts.unsyncedNames += member.disk.unsyncedNames
    if (member.host.crash(options).torn) this.counts.torn++
  }

  /** In the middle of what that process ends. */
  private countEnd(member: SimMember): void {
    const { snapshot, configuration } = member.node!.status()
    if (snapshot.state === 'saving') this.counts.midSnapshot++
    else if (snapshot.state !== 'idle') this.counts.midInstall++
    if (!configuration.isStable) this.counts.midJoint++
  }

  pause(member: SimMember): void {
    if (!member.isUp || member.process!.stopped) return
    this.note('pause', member)
    this.counts.pauses++
    member.process!.pause()
  }

  resume(member: SimMember): void {
    if (!member.isUp || !member.process!.stopped) return
    this.note('resume', member)
    member.process!.resume()
  }

  /** Its process gets a processor only once in so many milliseconds, for this long. */
  slowDown(member: SimMember, turnEveryMs: number, forMs: number): void {
    this.note('slow', member)
    const { process } = member
    process!.slowDown(turnEveryMs)
    this.scheduler.schedule(forMs, null, 'later', () => process!.slowDown(0))
  }

  /** Nothing passes between members of different groups. */
  partition(...groups: readonly (readonly SimMember[])[]): void {
    this.scheduler.note('partition', null, groups.map((g) => g.map((m) => m.name).join(',')).join(' | '))
    this.counts.partitions++
    for (const group of groups) {
      for (const other of groups) {
        if (group === other) continue
        for (const a of group) for (const b of other) this.network.cutOneWay(a.peerId.address, b.peerId.address)
      }
    }
  }

  isolate(member: SimMember): void {
    this.partition(
      [member],
      this.members.filter((m) => m !== member),
    )
  }

  /** Nothing passes from `from` to `to`. */
  cutOneWay(from: SimMember, to: SimMember): void {
    this.scheduler.note('cut', null, `${from.name} → ${to.name}`)
    this.counts.partitions++
    this.network.cutOneWay(from.peerId.address, to.peerId.address)
  }

  cut(a: SimMember, b: SimMember): void {
    this.cutOneWay(a, b)
    this.cutOneWay(b, a)
  }

  heal(): void {
    this.scheduler.note('heal', null, '')
    this.network.mendAll()
  }

  cutLinks(links: readonly Link[]): void {
    this.scheduler.note('cut', null, links.map(({ from, to }) => `${from.name} → ${to.name}`).join(' '))
    this.counts.partitions++
    for (const { from, to } of links) this.network.cutOneWay(from.peerId.address, to.peerId.address)
  }

  mendLinks(links: readonly Link[]): void {
    this.scheduler.note('mend', null, links.map(({ from, to }) => `${from.name} → ${to.name}`).join(' '))
    for (const { from, to } of links) this.network.mend(from.peerId.address, to.peerId.address)
  }

  clog(from: SimMember, to: SimMember, forMs: number): void {
    this.scheduler.note('clog', null, `${from.name} → ${to.name}`)
    this.counts.clogs++
    this.network.clog(from.peerId.address, to.peerId.address, forMs)
  }

  /** The disk of that machine answers nothing for this long, or nothing that concerns `paths`. */
  stallDisk(member: SimMember, forMs: number, paths = /^/): void {
    this.note('disk-stall', member)
    this.counts.stalls++
    member.profile.stalledUntil = Math.max(member.profile.stalledUntil, this.now + forMs)
    member.profile.stalledPaths = paths
  }

  // ---- administrators ----

  /** Takes a snapshot on that member. */
  snapshot(member: SimMember, done: Done = () => {}): void {
    this.counts.snapshotsAsked++
    this.ask(member, 'snapshot', (node, answer) => node.snapshot(answer), done)
  }

  /** Makes `target` the members through that one, which should lead. */
  change(member: SimMember, target: Configuration, options: ChangeOptions, done: Done = () => {}): void {
    this.counts.changesAsked++
    this.scheduler.note('change', null, `${member.name}: ${target}`)
    this.ask(member, 'change', (node, answer) => node.changePeers(target, options, answer), done)
  }

  /** Asks for something that is answered once, or never by a process that is gone. */
  private ask(member: SimMember, what: string, call: (node: Node, answer: Done) => void, done: Done): void {
    if (!member.isUp) return
    let answered = false
    const answer = member.owed((status) => {
      if (answered) this.fail('closure runs once', `${member.name} answered a ${what} twice, the second time with ${status}`)
      answered = true
      done(status)
    })
    member.run(`client:${what}`, (node) => call(node, (status) => answer.run(status)))
  }

  // ---- clients ----

  /** Writes to a register through `member`; what came of it stands in the record. */
  write(
    member: SimMember,
    key: number,
    options: { payload?: number | Buffer; done?: (record: WriteRecord, status: Status) => void } = {},
  ): WriteRecord {
    const record = this.history.beginWrite(member.name, key)
    const closure = member.owed((status) => {
      this.history.endWrite(record, outcomeOf(status))
      options.done?.(record, status)
    })
    member.run('client:write', (node) =>
      node.apply({ data: encodeWrite({ key, serial: record.serial }, options.payload ?? 8), done: closure }),
    )
    return record
  }

  /** Reads a register through `member`, by the lease where there are leases; null when the read failed. */
  read(
    member: SimMember,
    key: number,
    timeoutMs: number,
    done: (value: number | null, status: Status) => void = () => {},
    mode: ReadMode = this.options.node?.leaderLease ? 'lease' : 'confirmed',
  ): void {
    const record = this.history.beginRead(member.name, key)
    member.run('client:read', (node, machine) => {
      const answer = (status: Status) => {
        if (!status.ok) {
          this.history.failRead(record)
          return done(null, status)
        }
        const value = machine.registers.get(key) ?? 0
        this.history.endRead(member.name, record, machine.lastWriteIndex, value)
        done(value, status)
      }
      if (mode === 'lease' && node.isLeaderLeaseValid()) this.counts.leaseReads++
      node.readIndex(timeoutMs, answer, mode)
    })
  }

  private note(label: string, member: SimMember): void {
    this.scheduler.note(label, null, member.name)
  }
}
