import { Configuration, ConfigurationEntry } from './configuration.js'
import { assert } from './errors.js'
import type { PeerId } from './peer-id.js'
import { type LogIndex, NO_INDEX } from './types.js'

/**
 * The configurations of the log by index, so that cutting its end brings the one before back (Raft §4.1: a server uses
 * the newest configuration in its log, committed or not).
 *
 * Owns the base (the initial configuration, a snapshot's, or the newest one of the log that was cut off at the front)
 * and the entries above it. LogManager changes it on append and truncation; everybody reads.
 *
 * Invariant: indexes rise strictly from the base to the last.
 */
export class ConfigurationManager {
  private base: ConfigurationEntry
  private entries: ConfigurationEntry[] = []
  /** Set by an operator past the log; in force until the log brings another. */
  private byHand: ConfigurationEntry | null = null

  constructor(initial: ConfigurationEntry) {
    this.base = initial
  }

  /** The newest, committed or not. */
  get last(): ConfigurationEntry {
    return this.byHand ?? this.newest
  }

  /** The one in force stands in no log yet. */
  get isByHand(): boolean {
    return this.byHand !== null
  }

  private get newest(): ConfigurationEntry {
    return this.entries.at(-1) ?? this.base
  }

  /** The one in force at `index`; below the oldest that is known, the oldest. */
  at(index: LogIndex): ConfigurationEntry {
    for (let i = this.entries.length - 1; i >= 0; i--) {
      const entry = this.entries[i]!
      if (entry.id.index <= index) return entry
    }
    return this.base
  }

  /** Whether the entry at `index` of the log is a configuration. */
  isAt(index: LogIndex): boolean {
    return this.at(index).id.index === index
  }

  add(entry: ConfigurationEntry): void {
    const { newest } = this
    assert(entry.id.index > newest.id.index, 'configurations out of order', { index: entry.id.index, last: newest.id.index })
    this.byHand = null
    this.entries.push(
      this.repeats(entry) ? new ConfigurationEntry(entry.id, entry.conf, entry.old, entry.learners, newest.configIndex) : entry,
    )
  }

  /** In any configuration from `after` on that is still known. */
  everContained(peer: PeerId, after: LogIndex = NO_INDEX): boolean {
    return [this.base, ...this.entries].some((entry) => entry.id.index >= after && entry.contains(peer))
  }

  /** The same for a learner too. */
  everKnew(peer: PeerId, after: LogIndex = NO_INDEX): boolean {
    return [this.base, ...this.entries].some((entry) => entry.id.index >= after && entry.knows(peer))
  }

  /** Learners stay what they are: they decide nothing. */
  setByHand(conf: Configuration): void {
    const { id, configIndex, learners } = this.newest
    const others = learners.filter((learner) => !conf.contains(learner))
    this.byHand = new ConfigurationEntry(id, conf, Configuration.EMPTY, others, configIndex)
  }

  /** An entry that opens a term repeats the members: it does not count as a change of them. */
  private repeats(entry: ConfigurationEntry): boolean {
    const { newest: last } = this
    const sameLearners = entry.learners.length === last.learners.length && entry.learners.every((peer, i) => peer.equals(last.learners[i]!))
    return last.id.index > 0 && sameLearners && entry.conf.equals(last.conf) && entry.old.equals(last.old)
  }

  /** Forgets what stands above `lastKept`. */
  truncateSuffix(lastKept: LogIndex): void {
    assert(lastKept >= this.base.id.index, 'the base configuration would be cut', { lastKept, base: this.base.id.index })
    while (this.entries.length > 0 && this.newest.id.index > lastKept) this.entries.pop()
  }

  /** The log now starts at `firstKept`: the configuration in force just below stays as the base. */
  truncatePrefix(firstKept: LogIndex): void {
    const keptFrom = this.entries.findIndex((entry) => entry.id.index >= firstKept)
    const cut = this.entries.splice(0, keptFrom < 0 ? this.entries.length : keptFrom)
    this.base = cut.at(-1) ?? this.base
  }

  /** The initial configuration counts for nothing: this directory lost what came after it. */
  forgetInitial(): void {
    if (this.base.id.index === 0) this.base = new ConfigurationEntry(this.base.id, Configuration.EMPTY)
  }

  /** A snapshot replaces the whole log: only what it says is in force. */
  reset(entry: ConfigurationEntry): void {
    this.byHand = null
    this.entries = []
    this.base = entry
  }

  /** A snapshot's configuration replaces what it covers; an older snapshot changes nothing. */
  setSnapshot(entry: ConfigurationEntry): void {
    if (entry.id.index < this.base.id.index) return
    this.entries = this.entries.filter((other) => other.id.index > entry.id.index)
    this.base = entry
  }
}
