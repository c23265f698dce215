import { type Configuration, ConfigurationEntry } from '../../src/raft/configuration.js'
import type { PeerId } from '../../src/raft/peer-id.js'
import { type LogIndex, NO_INDEX, NO_TERM } from '../../src/raft/types.js'
import type { DurableLog } from './disk-image.js'

/** What is committed for good, learnt from the disk images that held it when it was committed. */
export class CommittedLog {
  /** Every commit up to here was seen durable on a quorum of disk images. */
  last = 0
  private readonly terms: number[] = [0]
  private readonly configurations: ConfigurationEntry[]

  constructor(initial: Configuration) {
    this.configurations = [new ConfigurationEntry({ index: NO_INDEX, term: NO_TERM }, initial)]
  }

  /** Everything up to `index` is committed; `holder` holds it. */
  advance(index: number, holder: DurableLog): void {
    for (let i = this.last + 1; i <= index; i++) this.terms[i] = holder.entryAt(i)?.term ?? 0
    for (const entry of holder.configurationsAbove(this.last)) if (entry.id.index <= index) this.add(entry)
    this.last = index
  }

  /** Was an entry of that term committed? */
  hasTerm(term: number): boolean {
    return this.terms.includes(term)
  }

  /** 0 when nobody knows any more. */
  termAt(index: number): number {
    return this.terms[index] ?? 0
  }

  /** The one in force at `index`, with the index of the entry that last changed the members. */
  configurationAt(index: number): ConfigurationEntry {
    return this.configurations.findLast((entry) => entry.id.index <= index)!
  }

  /** Was it a member by a configuration above `index`? */
  everContained(peer: PeerId, index: number): boolean {
    return this.configurations.some((entry) => entry.id.index >= index && entry.contains(peer))
  }

  get configuration(): ConfigurationEntry {
    return this.configurations.at(-1)!
  }

  /** Entries that made the members others than before, and those of them that were joint. */
  changes(): { changes: number; joints: number } {
    const changed = this.configurations.filter((entry, i) => i > 1 && entry.configIndex === entry.id.index)
    return { changes: changed.filter((entry) => entry.isStable).length, joints: changed.filter((entry) => !entry.isStable).length }
  }

  private add(entry: ConfigurationEntry): void {
    this.configurations.push(following(this.configuration, entry))
  }
}

/** `entry` with the index of the entry that last changed the members, as it stands in a log behind `before`. */
export function following(before: ConfigurationEntry, entry: ConfigurationEntry): ConfigurationEntry {
  const configIndex: LogIndex = before.id.index > 0 && sameMembers(entry, before) ? before.configIndex : entry.id.index
  return new ConfigurationEntry(entry.id, entry.conf, entry.old, entry.learners, configIndex)
}

export function sameMembers(a: ConfigurationEntry, b: ConfigurationEntry): boolean {
  return a.conf.equals(b.conf) && a.old.equals(b.old)
}

/** Both halves of a configuration, or the one it has. */
export function halvesOf({ conf, old }: ConfigurationEntry): readonly Configuration[] {
  return old.isEmpty ? [conf] : [conf, old]
}

/** May `next` follow `before` in a log: a repetition, one member more or less, into a joint configuration or out of it? */
export function mayFollow(before: ConfigurationEntry, next: ConfigurationEntry): boolean {
  if (sameMembers(before, next)) return true
  if (!before.isStable) return next.isStable && next.conf.equals(before.conf)
  if (!next.isStable) return next.old.equals(before.conf)
  const added = next.conf.peers.filter((peer) => !before.conf.contains(peer)).length
  const removed = before.conf.peers.filter((peer) => !next.conf.contains(peer)).length
  return added + removed === 1
}
