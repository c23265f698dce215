import type { Executor } from '../../src/raft/environment.js'
import { ErrorCode, type Status } from '../../src/raft/errors.js'
import type { RaftEvent } from '../../src/raft/events.js'
import type { FailpointName } from '../../src/raft/failpoints.js'
import type { LogId, LogIndex, Term } from '../../src/raft/types.js'
import { GroupMember, type MemberOptions } from '../../src/testing/group-member.js'
import type { Scheduler } from '../../src/testing/scheduler.js'
import type { Birth, SimHost } from '../../src/testing/sim-host.js'
import { MemberImage } from './member-image.js'
import type { MachineListener, RegisterMachine } from './register-machine.js'

export type CreateMachine = (listener: MachineListener, executor: Executor) => RegisterMachine

/** What those around a member are told. */
export interface MemberListener {
  event(member: SimMember, event: RaftEvent): void
  /** Its process comes to a named point of the code. */
  point(member: SimMember, name: FailpointName): Status | null
  /** `init` ended: with OK the member takes part. */
  started(member: SimMember, status: Status): void
}

/** A member whose machine is a checker's, and what its checkers keep of it. */
export class SimMember extends GroupMember<RegisterMachine> {
  /** What the disk is sure to keep of it. */
  readonly image: MemberImage
  /** The term this process leads or led last; 0 when it never did. */
  leadsTerm = 0
  /** The highest numbers this process showed. */
  seen = { term: 0, committed: 0, applied: 0 }
  /** It said something in the current event. */
  touched = false
  /** How often its disk was lost. */
  life = 0
  /** What was committed when its disk was lost last. */
  bornAt = 0
  /** The disk image as it was checked last. */
  checkedChanges = -1
  /** What its lost disks held, by index: its acknowledgements of that may still be on their way. */
  private readonly lost: ReadonlyMap<number, number>[] = []
  /** Where the logs of its lost disks ended that counted. */
  readonly lostIds: LogId[] = []

  constructor(
    scheduler: Scheduler,
    host: SimHost,
    options: MemberOptions<RegisterMachine>,
    private readonly listener: MemberListener,
  ) {
    super(scheduler, host, options)
    this.image = new MemberImage(host.disk, this.directory)
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

  override boot(birth: Birth): void {
    this.leadsTerm = 0
    this.seen = { term: 0, committed: 0, applied: 0 }
    super.boot(birth)
  }

  override forget(): void {
    const { log } = this.image
    const last = log.lastIndex()
    if (this.image.isMember) this.lostIds.push({ index: last as LogIndex, term: (log.entryAt(last)?.term ?? 0) as Term })
    this.lost.push(log.copy())
    this.life++
    super.forget()
  }

  /** Does a disk of this member count for the entry, or did one before it was lost? */
  holds(index: number, term: number): boolean {
    const { image } = this
    if (image.isMember && (image.log.entryAt(index)?.term === term || image.snapshotIndex >= index)) return true
    return this.lost.some((log) => log.get(index) === term)
  }

  protected override started(status: Status): void {
    this.listener.started(this, status)
  }

  protected override reached(point: FailpointName): Status | null {
    return this.listener.point(this, point)
  }

  protected override observed(event: RaftEvent): void {
    this.touched = true
    this.listener.event(this, event)
  }
}

/** Nothing was proposed. */
const REFUSED: ReadonlySet<number> = new Set([ErrorCode.EPERM, ErrorCode.EBUSY, ErrorCode.ENOSPC, ErrorCode.EREADONLY])

/** A write's fate from the status its closure was given. */
export function outcomeOf(status: Status): 'acked' | 'refused' | 'unknown' {
  if (status.ok) return 'acked'
  return REFUSED.has(status.code) ? 'refused' : 'unknown'
}
