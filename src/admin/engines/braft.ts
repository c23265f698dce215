import { setTimeout as pause } from 'node:timers/promises'
import type { Connection } from '../../terminal/connection.js'
import { CliError } from '../../terminal/errors.js'
import { addressOf, isEmptyPeer, type NodeReport } from '../node-report.js'
import type { BraftCalls } from './braft-calls.js'
import { beyondBraft } from './braft-limits.js'
import { BraftPages, type NodePage } from './braft-pages.js'
import { braftReport } from './braft-report.js'
import { BraftSnapshots } from './braft-snapshots.js'
import type {
  ChangeMembersCall,
  ChangeProgress,
  ClusterEngine,
  DiskFigures,
  LeaderReport,
  LogCall,
  LogCount,
  NodeCall,
  ResetMembersCall,
  SentEntry,
  TransferAnswer,
  TransferCall,
} from './engine.js'

const POLL_MS = 20
/** A leader that gives a transfer up does so after an election timeout; then it still has to be seen. */
const VERDICT_MS = 1000

/**
 * Clusters of C++ braft nodes: what they are is read off `/raft_stat`, what shall become of them is asked of braft.CliService
 * over gRPC. Owns its channels and connections.
 *
 * braft decides no gates and waits for little: whether a change may be, how far it is and whether it happened is found out here.
 */
export class BraftEngine implements ClusterEngine {
  readonly snapshots: BraftSnapshots
  private readonly pages: BraftPages
  /** The messages of braft are loaded when first something is asked for that its pages do not tell. */
  private calls: Promise<BraftCalls> | null = null

  constructor(private readonly connection: Connection) {
    this.pages = new BraftPages(connection)
    this.snapshots = new BraftSnapshots(() => this.braftCalls(), this.pages)
  }

  [Symbol.dispose](): void {
    this.pages[Symbol.dispose]()
    void this.calls?.then((calls) => calls[Symbol.dispose]())
  }

  async nodeStatus(call: NodeCall): Promise<NodeReport> {
    return (await this.look(call)).report
  }

  /** The same, and whether a node of ours answered: it speaks braft's protocol too. */
  async look({ endpoint, group }: NodeCall): Promise<{ readonly report: NodeReport; readonly isRaftctl: boolean }> {
    const [{ stat, isRaftctl }, process] = await Promise.all([this.pages.node(endpoint, group), this.pages.process(endpoint)])
    return { report: braftReport(endpoint, stat, process), isRaftctl }
  }

  // biome-ignore lint/correctness/useYield: there is nothing to be read
  async *readLog({ endpoint }: LogCall): AsyncGenerator<SentEntry> {
    throw beyondBraft(endpoint, 'log')
  }

  async countLog({ endpoint, group }: NodeCall): Promise<LogCount> {
    const { stat } = await this.pages.node(endpoint, group)
    const { firstIndex, lastIndex, snapshotIndex } = stat
    const unknown = { bytes: null, segments: null, entriesByType: null, bytesByType: null, largest: null }
    return { firstIndex, lastIndex, entries: Math.max(0, lastIndex - firstIndex + 1), snapshotIndex, ...unknown }
  }

  async checkDisk({ endpoint }: NodeCall): Promise<DiskFigures> {
    throw beyondBraft(endpoint, 'disk')
  }

  async confirmLeader({ endpoint }: NodeCall): Promise<LeaderReport> {
    throw beyondBraft(endpoint, 'readIndex')
  }

  async settings(): Promise<Readonly<Record<string, string>>> {
    return {}
  }

  async roundTrips({ endpoint }: NodeCall): Promise<ReadonlyMap<string, number>> {
    throw beyondBraft(endpoint, 'roundTrips')
  }

  async changeMembers(call: ChangeMembersCall, listener: (progress: ChangeProgress) => void): Promise<ChangeProgress> {
    const { BraftMemberChange } = await import('./braft-members.js')
    return await new BraftMemberChange(await this.braftCalls(), this.pages, call, listener).run()
  }

  /** In memory only, as braft does it: durable once the node was elected upon it. */
  async resetMembers({ endpoint, group, node, members }: ResetMembersCall): Promise<void> {
    const calls = await this.braftCalls()
    const peers = members.map(({ peerId }) => peerId)
    await calls.reset({ endpoint, group, node }, peers, { check: 'raftctl member list' })
  }

  /** braft answers when it has begun to hand over: who leads then is looked up at those who know. */
  async transferLeader({ endpoint, group, target, timeoutMs }: TransferCall): Promise<TransferAnswer> {
    const { stat } = await this.pages.node(endpoint, group)
    if (stat.state !== 'LEADER')
      throw new CliError('E_NO_LEADER', `${endpoint} does not lead: it is ${stat.state}`, { details: { node: endpoint, applied: 'no' } })
    const calls = await this.braftCalls()
    await calls.transfer({ endpoint, group: stat.group, node: stat.peerId }, target, { timeoutMs })
    const deadline = performance.now() + Math.max(timeoutMs, (stat.electionTimeoutMs ?? 0) + VERDICT_MS)
    while (performance.now() < deadline) {
      const [old, next] = await Promise.all([endpoint, addressOf(target)].map((one) => this.pages.node(one, stat.group).catch(ifSilent)))
      const taken = successor(next, stat.term) ?? successor(old, stat.term)
      if (taken !== null) return { ...taken, startedAtMs: null, lastAcknowledgedAtMs: null }
      if (old?.stat.state === 'LEADER' && old.stat.term === stat.term)
        throw new CliError(
          'E_WAIT_TIMEOUT',
          `${addressOf(target)} did not take over within ${stat.electionTimeoutMs} ms: ${endpoint} leads on in term ${stat.term}`,
          { hint: 'Look at how far behind it is:  raftctl node status', details: { node: endpoint, target } },
        )
      await pause(POLL_MS)
    }
    throw new CliError('E_OUTCOME_UNKNOWN', `${endpoint} began to hand over to ${addressOf(target)}, and nobody leads yet`, {
      hint: 'Look before you repeat it:  raftctl leader show',
      details: { node: endpoint, target },
    })
  }

  private braftCalls(): Promise<BraftCalls> {
    this.calls ??= import('./braft-calls.js').then(({ BraftCalls }) => new BraftCalls(this.connection))
    return this.calls
  }
}

/** Who leads in a newer term, by the word of a node: its own, or whom it follows. */
function successor(page: NodePage | null, termBefore: number): { readonly newLeader: string; readonly newTerm: number } | null {
  if (page === null || page.stat.term <= termBefore) return null
  const { state, peerId, leader, term } = page.stat
  const newLeader = state === 'LEADER' ? peerId : leader
  return newLeader === null || isEmptyPeer(newLeader) ? null : { newLeader, newTerm: term }
}

function ifSilent(thrown: unknown): null {
  if (thrown instanceof CliError && thrown.code === 'E_UNREACHABLE') return null
  throw thrown
}
