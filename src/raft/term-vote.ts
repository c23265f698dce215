import type { Done } from './closure.js'
import { UNWATCHED } from './disk-watch.js'
import { assert, Status } from './errors.js'
import { PeerId } from './peer-id.js'
import type { RaftMeta, RaftMetaStorage } from './storage.js'
import type { Term } from './types.js'

/**
 * The current term and the vote given in it, and their durability.
 *
 * Owns the only writer of RaftMetaStorage: one save at a time, always of the newest value.
 *
 * Invariants
 * - term never decreases; within a term the vote changes at most once, from nobody to somebody.
 * - whatever a message says about term or vote, it leaves through `whenDurable` (Raft §5.1: updated on stable storage
 *   before responding). After a failed save nothing leaves any more.
 */
export class TermVote {
  /** The directory is new or was lost, and it is not known yet that no later term had begun before that (survey.ts). */
  mayHaveForgotten = false
  private current: RaftMeta = { term: 1 as Term, votedFor: PeerId.EMPTY }
  private version = 0
  private durableVersion = 0
  private saving = false
  private failure: Status | null = null
  private readonly waiting: Done[] = []

  constructor(
    private readonly storage: RaftMetaStorage,
    private readonly onDurable: (meta: RaftMeta) => void,
    private readonly onFailure: (status: Status) => void,
    private readonly watch = UNWATCHED,
  ) {}

  get term(): Term {
    return this.current.term
  }

  get votedFor(): PeerId {
    return this.current.votedFor
  }

  get isDurable(): boolean {
    return this.durableVersion === this.version && this.failure === null
  }

  load(done: Done): void {
    this.storage.load((status, meta) => {
      if (status.ok) this.current = meta!
      done(status)
    })
  }

  /** Takes effect in memory at once; starts or extends the save. */
  update(term: Term, votedFor: PeerId): void {
    const { current } = this
    assert(term >= current.term, 'the term went backwards', { from: current.term, to: term })
    assert(term > current.term || current.votedFor.isEmpty || current.votedFor.equals(votedFor), 'a second vote in one term', { term })
    if (term === current.term && votedFor.equals(current.votedFor)) return
    this.current = { term, votedFor }
    this.version++
    this.save()
  }

  /**
   * The vote of this term is its leader's, whoever had it before: that one has won without it, so it elects nobody, and what is left
   * of the term goes to no other.
   */
  giveToLeader(leader: PeerId): void {
    if (leader.equals(this.current.votedFor)) return
    this.current = { term: this.current.term, votedFor: leader }
    this.version++
    this.save()
  }

  /** Runs `done` once everything updated so far is durable: at once when it is. */
  whenDurable(done: Done): void {
    if (this.failure) done(this.failure)
    else if (this.durableVersion === this.version) done(Status.OK)
    else this.waiting.push(done)
  }

  private save(): void {
    if (this.saving || this.failure) return
    this.saving = true
    const { version, current } = this
    this.watch.began()
    this.storage.save(current, (status) => {
      this.saving = false
      this.watch.ended()
      if (!status.ok) return this.fail(status)
      this.durableVersion = version
      this.onDurable(current)
      if (this.version > version) this.save()
      // Who waits speaks of the newest term and vote: it runs only while all of that is durable, and may itself raise it.
      while (this.isDurable && this.waiting.length > 0) this.waiting.shift()!(Status.OK)
    })
  }

  private fail(status: Status): void {
    this.failure = status
    this.onFailure(status)
    for (const done of this.waiting.splice(0)) done(status)
  }
}
