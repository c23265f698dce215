import { ErrorCode, Status } from './errors.js'
import type { EntryBatch } from './log-entry.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import type { Replicator } from './replicator.js'
import { type LogIndex, maxIndex, minIndex, NO_INDEX } from './types.js'

/** Whoever takes longer than this part of an election timeout to write an entry is not waited for. */
const PROMPT_TIMEOUTS = 0.25

/**
 * How far this leader sends its log to one witness: no further than another member that holds data durably holds it, while one
 * answers promptly; else no further than the own disk does.
 *
 * A leader that is leaving has no voice, so its copy counts for nothing: what the members hold without it is waited for, however
 * long. Else witnesses, which no member but that leader can bring level, could be the ones who decide on its removal and who leads then.
 *
 * So an entry that a witness has a voice in has a copy with its data, two while two members are well: when the disk of the leader is
 * lost then, nothing acknowledged is, and the witness elects the other one. Sent everything at once it would refuse to, for the
 * sake of entries that nobody else ever had.
 */
export class WitnessGate {
  constructor(
    private readonly node: NodeImpl,
    private readonly peerId: PeerId,
  ) {}

  get last(): LogIndex {
    const { log, replicators, configuration, serverId } = this.node
    if (!this.peerId.isWitness) return log.lastIndex
    const counts = configuration.contains(serverId)
    let newest = NO_INDEX
    let isAlone = counts
    for (const replicator of replicators.all) {
      if (replicator.peerId.isWitness || !configuration.contains(replicator.peerId)) continue
      if (counts && !this.isPrompt(replicator)) continue
      isAlone = false
      newest = maxIndex(newest, replicator.matchIndex)
    }
    return isAlone ? minIndex(log.lastIndex, log.durableIndex) : newest
  }

  /** What it is sent for these entries. A witness that leads has nothing to send in place of data that it lacks: ENODATA. */
  sent(whole: EntryBatch): EntryBatch | Status {
    const { options, env, witness } = this.node
    if (this.peerId.isWitness) return options.witnessToLeader ? whole : whole.withoutData(env.checksum)
    if (!witness.isOne || whole.newestBare === null) return whole
    return Status.error(ErrorCode.ENODATA, `entry ${whole.newestBare} lacks its data in the log of this witness`)
  }

  private isPrompt(replicator: Replicator): boolean {
    const { replicators, ballotBox, env, electionTimeoutMs } = this.node
    const since = replicator.unansweredSince
    // Who lacks what is committed would hold writes up until it has caught up.
    if (replicator.matchIndex < ballotBox.lastCommittedIndex) return false
    return replicators.isFit(replicator) && (since === null || env.clock.now() - since < PROMPT_TIMEOUTS * electionTimeoutMs)
  }
}
