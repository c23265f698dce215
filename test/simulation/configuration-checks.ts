import { type ConfigurationEntry, decodeConfiguration } from '../../src/raft/configuration.js'
import { type EntryBatch, EntryType } from '../../src/raft/log-entry.js'
import { plus } from '../../src/raft/types.js'
import { type CommittedLog, following, mayFollow, sameMembers } from './committed-log.js'
import type { Fail } from './invariants.js'

/**
 * Every change of the members as leaders send it: one at a time, each committed before the next, none before the leader
 * committed an entry of its own term, and none that could elect two leaders (Raft thesis §4).
 *
 * An entry is known by its index and term; it carries the newest configuration at or below it in that log.
 */
export class ConfigurationChecks {
  private readonly newest = new Map<number, ConfigurationEntry>()

  constructor(
    private readonly committed: CommittedLog,
    private readonly fail: Fail,
  ) {
    this.newest.set(keyOf(0, 0), committed.configuration)
  }

  /** A leader of `term` sends `entries` after one of `previousTerm`. */
  sent(who: string, term: number, previousTerm: number, entries: EntryBatch): void {
    let before = this.newest.get(keyOf(entries.firstIndex - 1, previousTerm))
    for (let index = entries.firstIndex; index <= entries.lastIndex; index = plus(index, 1)) {
      const key = keyOf(index, entries.termAt(index))
      let here = this.newest.get(key)
      if (!here && before) {
        here = before
        if (entries.typeAt(index) === EntryType.CONFIGURATION) {
          here = following(before, decodeConfiguration(entries.dataAt(index), { index, term: entries.termAt(index) })!)
          if (here.id.term === term) this.proposed(who, before, here)
        }
        this.newest.set(key, here)
      }
      before = here
    }
  }

  private proposed(who: string, before: ConfigurationEntry, next: ConfigurationEntry): void {
    if (sameMembers(before, next)) return
    const change = `${who} changes ${text(before)} to ${text(next)} at ${next.id.index} of term ${next.id.term}`
    if (!mayFollow(before, next)) this.fail('quorums of successive configurations overlap', change)
    if (!this.committed.hasTerm(next.id.term)) this.fail('no change before an entry of the own term', change)
    // An entry that only repeats the members need not be committed: it changed nothing.
    if (before.configIndex > this.committed.last)
      this.fail('one change at a time', `${change}, the change before is at ${before.configIndex}, committed is ${this.committed.last}`)
  }
}

/** No simulation comes to a term or an index of 26 bits. */
function keyOf(index: number, term: number): number {
  return term * 0x400_0000 + index
}

function text({ conf, old }: ConfigurationEntry): string {
  return old.isEmpty ? `{${conf}}` : `{${conf}} from {${old}}`
}
