import { type CommittedLog, sameMembers } from './committed-log.js'
import type { History } from './history.js'
import type { Fail, InvariantCounts } from './invariants.js'
import type { SimMember } from './member.js'
import type { StoredSnapshot } from './member-image.js'

/** What must be true of a disk image whenever it changed: of its newest snapshot, and of what its log no longer holds. */
export class DiskChecks {
  private readonly checked = new WeakMap<SimMember, StoredSnapshot | null>()

  constructor(
    private readonly committed: CommittedLog,
    private readonly history: History,
    private readonly counts: InvariantCounts,
    private readonly fail: Fail,
  ) {}

  check(member: SimMember): void {
    const { image, name } = member
    const snapshot = image.snapshot()
    if (typeof snapshot === 'string') return this.fail('a snapshot on disk is whole', `the newest one of ${name}: ${snapshot}`)
    if (snapshot !== this.checked.get(member)) {
      this.checked.set(member, snapshot)
      if (snapshot) this.checkSnapshot(name, snapshot)
      if (snapshot && (snapshot.state === null) !== member.peerId.isWitness)
        this.fail('only a witness has snapshots without files', `${name}, up to ${snapshot.lastIncluded.index}`)
    }
    const first = image.firstLogIndex()
    const covered = snapshot?.lastIncluded.index ?? 0
    if (first > covered + 1)
      this.fail('what is cut is in a snapshot', `the log of ${name} begins at ${first}, its newest snapshot ends at ${covered}`)
  }

  private checkSnapshot(name: string, snapshot: StoredSnapshot): void {
    this.counts.snapshotsChecked++
    const { lastIncluded, configuration, state } = snapshot
    const { index, term } = lastIncluded
    if (index > this.committed.last)
      return this.fail('snapshots hold what is committed', `${name} has one of ${index}, committed is ${this.committed.last}`)
    const committedTerm = this.committed.termAt(index)
    if (committedTerm !== 0 && committedTerm !== term)
      this.fail('snapshots hold what is committed', `${name} has one of ${index} of term ${term}, committed there is term ${committedTerm}`)
    const problem = state && this.history.differenceAt(index, state)
    if (problem) this.fail('a snapshot is the state of the log', `that of ${name} up to ${index}: ${problem}`)
    const expected = this.committed.configurationAt(index)
    if (!sameMembers(configuration, expected) || configuration.configIndex !== expected.configIndex) {
      this.fail(
        'a snapshot has the members in force',
        `that of ${name} up to ${index} says {${configuration.conf}}{${configuration.old}} since ${configuration.configIndex}, ` +
          `in force is {${expected.conf}}{${expected.old}} since ${expected.configIndex}`,
      )
    }
  }
}
