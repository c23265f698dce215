import { setTimeout as pause } from 'node:timers/promises'
import type { ReplicatorStat } from '../../rpc/raft-stat-text.js'
import { CliError } from '../../terminal/errors.js'
import { peerKey } from '../node-report.js'
import type { OnNode } from './braft-calls.js'
import type { BraftPages } from './braft-pages.js'
import { matchOf } from './braft-report.js'
import type { ChangeProgress } from './engine.js'

const LOOK_MS = 100
/** A member that gained nothing for so long is said to stall. */
const STALL_MS = 2000

type Seen = Partial<ChangeProgress> & { readonly stage: string }

/** Looks at the page of a leader that changes its members, and says how far that is. */
export class BraftProgress {
  /** Members to be still receive the log, as far as was seen. */
  isCatchingUp = false
  private readonly stopping = new AbortController()
  private readonly gains = new Map<string, { readonly match: number; readonly atMs: number }>()
  private stage = ''

  constructor(
    private readonly pages: BraftPages,
    private readonly on: OnNode,
    private readonly added: readonly string[],
    private readonly say: (seen: Seen) => void,
  ) {
    void this.watch()
  }

  stop(): void {
    this.stopping.abort()
  }

  private async watch(): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      await this.look(signal).catch((thrown) => {
        if (!(thrown instanceof CliError)) throw thrown
      })
      await pause(LOOK_MS, undefined, { signal }).catch(() => {})
    }
  }

  private async look(signal: AbortSignal): Promise<void> {
    const { stat } = await this.pages.node(this.on.endpoint, this.on.group, signal)
    if (signal.aborted) return
    const stage = stat.stage ?? 'none'
    this.isCatchingUp = stage === 'catching_up'
    if (this.isCatchingUp) {
      for (const peerId of this.added) {
        const replicator = stat.replicators.find((one) => peerKey(one.peerId) === peerKey(peerId))
        const state = replicator ? this.caughtUp(replicator) : { state: 'probe', stalled: 'was not called yet' }
        this.say({ stage, peerId, lastIndex: stat.lastIndex, ...state })
      }
    } else if (stage !== this.stage && stage !== 'none') this.say({ stage, lastIndex: stat.lastIndex })
    this.stage = stage
  }

  private caughtUp(peer: ReplicatorStat): Partial<ChangeProgress> {
    const state = peer.activity === 'installing' ? 'snapshot' : 'replicate'
    // What it was known to hold it still holds while it does not answer.
    const match = matchOf(peer) ?? this.gains.get(peer.peerId)?.match ?? 0
    return { matchIndex: match, state, stalled: this.whyStalled(peer, match) }
  }

  private whyStalled(peer: ReplicatorStat, match: number): string | null {
    const now = performance.now()
    const before = this.gains.get(peer.peerId)
    if (!before || match > before.match) this.gains.set(peer.peerId, { match, atMs: now })
    if (peer.errors > 0) return `does not answer the leader (${peer.errors} requests in a row failed)`
    const forMs = now - (before && match <= before.match ? before.atMs : now)
    if (peer.activity === 'installing') return null
    return forMs < STALL_MS ? null : `gains nothing for ${Math.round(forMs / 1000)} s`
  }
}
