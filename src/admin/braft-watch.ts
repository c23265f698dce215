import { setTimeout as pause } from 'node:timers/promises'
import { CliError } from '../terminal/errors.js'
import { type MemberReport, type NodeReport, peerKey } from './node-report.js'

/** Something that happened to a node, seen from outside. */
export interface Change {
  readonly name: string
  readonly fields: Readonly<Record<string, string>>
}

const LOOK_MS = 250

export interface WatchOptions {
  readonly look: () => Promise<NodeReport>
  readonly onChange: (change: Change, report: NodeReport) => void
  readonly onState: (up: boolean, reason: string) => void
}

/**
 * The events of a braft node, which tells none: its status is looked at a few times a second, and what differs is told in the words
 * of our own nodes. What comes and goes between two looks is not seen.
 */
export class BraftWatch {
  private readonly stopping = new AbortController()
  private before: NodeReport | null = null
  private up = true

  constructor(private readonly options: WatchOptions) {
    void this.run()
  }

  close(): void {
    this.stopping.abort()
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      await this.look()
      await pause(LOOK_MS, undefined, { signal }).catch(() => {})
    }
  }

  private async look(): Promise<void> {
    const { look, onChange, onState } = this.options
    try {
      const report = await look()
      if (this.stopping.signal.aborted) return
      if (!this.up) onState(true, '')
      this.up = true
      if (this.before) for (const change of changesBetween(this.before, report)) onChange(change, report)
      this.before = report
    } catch (thrown) {
      if (!(thrown instanceof CliError)) throw thrown
      if (this.up && !this.stopping.signal.aborted) onState(false, String(thrown.details.reason ?? thrown.message))
      this.up = false
    }
  }
}

/** What happened to a node between two looks at it, in the order in which it must have. Pure. */
export function changesBetween(before: NodeReport, after: NodeReport): Change[] {
  const changes: Change[] = []
  const tell = (name: string, fields: Readonly<Record<string, string | number>>) =>
    changes.push({ name, fields: Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, String(value)])) })
  const { term } = after
  if (isAnotherProcess(before, after)) tell('node.started', { term, firstIndex: after.firstIndex, lastIndex: after.lastIndex })
  if (before.leaderId !== null && before.leaderId !== after.leaderId && !leads(before))
    tell('leader.lost', { leader: before.leaderId, term: before.term })
  if (term > before.term) tell('term.raised', { term, from: before.term })
  if (after.raftState !== before.raftState) tell('state.changed', { from: before.raftState, to: after.raftState, term })
  if (leads(after) && !(leads(before) && before.term === term)) tell('election.won', { term })
  if (!leads(after) && after.leaderId !== null && (after.leaderId !== before.leaderId || term > before.term))
    tell('leader.followed', { leader: after.leaderId, term })
  if (after.leaderReady && !(before.leaderReady && before.term === term))
    tell('leader.ready', { term, index: after.membership?.entryIndex ?? 0 })
  changes.push(...membershipChanges(before, after), ...peerChanges(before, after), ...snapshotChanges(before, after))
  return changes
}

function leads({ raftState }: NodeReport): boolean {
  return raftState === 'LEADER' || raftState === 'TRANSFERRING'
}

function isAnotherProcess(before: NodeReport, after: NodeReport): boolean {
  return before.pid !== null && after.pid !== null && before.pid !== after.pid
}

function peers(list: readonly MemberReport[]): string {
  return list.map(({ peerId }) => peerId).join(',')
}

function membershipChanges({ membership: before }: NodeReport, { membership: after, raftState, snapshot }: NodeReport): Change[] {
  if (!before || !after) return []
  // A node that cut its log says that its members are of the last entry of its snapshot.
  const isOfSnapshot = (index: number) => index === snapshot?.index && peers(before.members) === peers(after.members)
  const changes: Change[] = []
  if (before.stage !== after.stage && raftState === 'LEADER')
    changes.push({ name: 'configuration.stage', fields: { stage: after.stage, target: peers(after.members) } })
  const isNewer = after.entryIndex > before.entryIndex && !isOfSnapshot(after.entryIndex)
  if (after.committed && (!before.committed || isNewer) && after.members.length > 0)
    changes.push({ name: 'configuration.committed', fields: { index: String(after.entryIndex), peers: peers(after.members) } })
  return changes
}

function peerChanges(before: NodeReport, after: NodeReport): Change[] {
  return after.progress.flatMap(({ peerId, answering, lastError }): Change[] => {
    const was = before.progress.find((one) => peerKey(one.peerId) === peerKey(peerId))
    if (!was || (was.answering === false) === (answering === false)) return []
    return answering === false
      ? [{ name: 'peer.down', fields: { peer: peerId, status: lastError } }]
      : [{ name: 'peer.up', fields: { peer: peerId } }]
  })
}

/** A snapshot beyond everything that the log held came from the leader. */
function snapshotChanges(before: NodeReport, { snapshot }: NodeReport): Change[] {
  if (snapshot === null || snapshot.index <= (before.snapshot?.index ?? 0)) return []
  const name = snapshot.index > before.lastIndex && before.snapshotState !== 'saving' ? 'snapshot.installed' : 'snapshot.saved'
  return [{ name, fields: { index: String(snapshot.index), snapshotTerm: String(snapshot.term) } }]
}
