import type { Done } from '../../src/raft/closure.js'
import type { Configuration } from '../../src/raft/configuration.js'
import type { Executor } from '../../src/raft/environment.js'
import type { Status } from '../../src/raft/errors.js'
import type { RaftEvent } from '../../src/raft/events.js'
import type { ChangeOptions } from '../../src/raft/membership.js'
import type { ReadMode } from '../../src/raft/messages.js'
import type { Node } from '../../src/raft/node.js'
import { type Deed, type GroupOptions, SimGroup } from '../../src/testing/sim-group.js'
import type { SimHost } from '../../src/testing/sim-host.js'
import { SimWorld } from '../../src/testing/sim-world.js'
import { ArmedPoints } from './armed-points.js'
import { History, type WriteRecord } from './history.js'
import { Invariants } from './invariants.js'
import { type CreateMachine, outcomeOf, SimMember } from './member.js'
import { encodeWrite, type MachineListener, RegisterMachine } from './register-machine.js'
import { GROUP } from './storages.js'

export interface ClusterOptions extends GroupOptions {
  /** Default: a plain RegisterMachine. */
  readonly createMachine?: CreateMachine
  /** A violation is kept in `violations` instead of thrown. */
  readonly collectViolations?: boolean
}

/** Events that are counted as they are. */
const COUNTED: Partial<Record<RaftEvent['name'], 'snapshots' | 'installs' | 'rebuilt' | 'removed'>> = {
  'snapshot.saved': 'snapshots',
  'snapshot.installed': 'installs',
  'node.rebuilt': 'rebuilt',
  'node.removed': 'removed',
}

/** Deeds that are counted as they are. */
const COUNTED_DEEDS: Partial<Record<Deed, 'restarts' | 'wipes' | 'kills' | 'crashes' | 'pauses' | 'partitions' | 'clogs' | 'stalls'>> = {
  start: 'restarts',
  wipe: 'wipes',
  kill: 'kills',
  'power-loss': 'crashes',
  pause: 'pauses',
  partition: 'partitions',
  cut: 'partitions',
  clog: 'clogs',
  'disk-stall': 'stalls',
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
 * A group of the test kit whose machines are a checker's, with the invariants and the history of what clients did.
 * Every event is followed by the checks; the first violation ends the run with an InvariantViolation.
 */
export class SimCluster extends SimGroup<SimMember> {
  readonly history: History
  readonly invariants: Invariants
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
  /** When a leader last began to hand over. */
  handedOverAt = Number.NEGATIVE_INFINITY
  /** Hooks of whoever drives the cluster. */
  onEvent: (member: SimMember, event: RaftEvent) => void = () => {}
  onStarted: (member: SimMember, status: Status) => void = () => {}

  constructor(
    override readonly options: ClusterOptions,
    /** In a world of its own, unless it is to share one. */
    world = new SimWorld({ ...options, hosts: options.size + (options.joiners ?? 0) }),
    groupId = GROUP,
  ) {
    super(options, world, groupId)
    const fail = (invariant: string, detail: string): void => this.fail(invariant, detail)
    this.history = new History(fail, () => this.scheduler.now)
    this.invariants = new Invariants(this.members, this.initialConf, this.history, fail)
    this.network.observers.set(groupId, this.invariants)
  }

  protected override createMember(host: SimHost): SimMember {
    // Of this class nothing is there yet but what its closures will find.
    const at = host.id - 1
    const listener: MachineListener = {
      applied: (machine, index, term, write) => {
        const member = this.members[at]!
        this.invariants.appliedEntry(member, index, term)
        this.history.applied(machine, member.name, index, term, write.serial)
      },
      loaded: (machine, upTo) => this.history.loaded(machine, this.members[at]!.name, upTo),
    }
    const createMachine = (executor: Executor): RegisterMachine =>
      this.options.createMachine?.(listener, executor) ?? new RegisterMachine(listener)
    return new SimMember(
      this.scheduler,
      host,
      { ...this.memberOptions(host), createMachine },
      {
        event: (member, event) => {
          this.invariants.observed(member, event)
          const count = COUNTED[event.name]
          if (count) this.counts[count]++
          if (event.name === 'leader.handover') this.handedOverAt = this.scheduler.now
          if (event.name === 'leader.handover' && event.reason.startsWith('its disk runs short')) this.counts.shortLeaders++
          this.onEvent(member, event)
        },
        point: (member, name) => this.points.hit(name, member),
        started: (member, status) => this.onStarted(member, status),
      },
    )
  }

  private fail(invariant: string, detail: string): void {
    this.violations.push({ invariant, detail, atMs: this.scheduler.now })
    this.scheduler.note('VIOLATION', null, `${invariant}: ${detail}`)
  }

  /** Checks what the last event may have broken. */
  override check(): void {
    super.check()
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

  protected override failure(problem: string): Error {
    return new InvariantViolation(problem)
  }

  protected override note(deed: Deed, member: SimMember | null, detail = member?.name ?? ''): void {
    super.note(deed, member, detail)
    const count = COUNTED_DEEDS[deed]
    if (count) this.counts[count]++
    if (deed === 'kill' || deed === 'power-loss') this.countEnd(member!)
    if (deed === 'power-loss') this.counts.unsyncedNames += member!.disk.unsyncedNames
  }

  override crash(member: SimMember, options: { keep?: number; poweredOn?: boolean } = {}): { torn: boolean } | null {
    const lost = super.crash(member, options)
    if (lost?.torn) this.counts.torn++
    return lost
  }

  override forget(host: SimHost): void {
    super.forget(host)
    this.members[host.id - 1]!.bornAt = this.invariants.committed.last + 1
  }

  /** In the middle of what that process ends. */
  private countEnd(member: SimMember): void {
    const { snapshot, configuration } = member.node!.status()
    if (snapshot.state === 'saving') this.counts.midSnapshot++
    else if (snapshot.state !== 'idle') this.counts.midInstall++
    if (!configuration.isStable) this.counts.midJoint++
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
}
