import { setTimeout as pause } from 'node:timers/promises'
import { PeerId } from '../../raft/peer-id.js'
import type { RaftStat } from '../../rpc/raft-stat-text.js'
import { CliError, isErrorCode } from '../../terminal/errors.js'
import { addressOf, peerKey } from '../node-report.js'
import { AWAITED, type PlanGate } from '../plan.js'
import type { BraftCalls, PeerChange } from './braft-calls.js'
import { braftGates, type Newcomer } from './braft-gates.js'
import type { BraftPages } from './braft-pages.js'
import { BraftProgress } from './braft-progress.js'
import { braftReport } from './braft-report.js'
import type { ChangeMembersCall, ChangeProgress, NamedPeer } from './engine.js'

/** How often a member that does not run yet is looked for. */
const ASK_MS = 200
/** After the time for catching up the leader still has to say what became of it. */
const VERDICT_MS = 2000

const NOTHING = { peerId: null, matchIndex: 0, lastIndex: 0, state: '', snapshotBytesSent: 0, snapshotBytesTotal: 0 } as const
const QUIET: Omit<ChangeProgress, 'stage'> = { ...NOTHING, stalled: null, rebuilding: false, membership: null, gates: [] }

/**
 * One change of the members of a braft group: decides the gates, waits for members that do not run yet, asks the leader for the
 * change, says how far it is and reads back what came of it. The same as a raftctl leader does for itself.
 *
 * braft takes a change without looking at what it was planned upon. It is compared right before; a change that somebody else
 * makes in the moment between is seen afterwards and said (E_OUTCOME_UNKNOWN).
 */
export class BraftMemberChange {
  private readonly deadline: number

  constructor(
    private readonly calls: BraftCalls,
    private readonly pages: BraftPages,
    private readonly call: ChangeMembersCall,
    private readonly listener: (progress: ChangeProgress) => void,
  ) {
    this.deadline = performance.now() + call.catchupTimeoutMs
    if ((call.learners ?? []).length + (call.promote ?? []).length + (call.demote ?? []).length > 0)
      throw new CliError('E_MIXED', 'braft knows no learners: every member votes', { hint: 'raftctl member add HOST:PORT adds a voter.' })
    if (call.add.some(({ movedFrom }) => movedFrom))
      throw new CliError('E_MIXED', 'a braft member cannot change its address', {
        hint: 'Remove it and add it at the other one, on an empty directory: raftctl member replace OLD NEW.',
      })
    for (const { id, peerId } of call.add) {
      if (PeerId.parse(peerId)?.isIpv4) continue
      throw new CliError('E_USAGE', `${id}: braft members know each other by IPv4 address only`, {
        hint: 'Write its address in digits: 10.0.0.4:8100.',
      })
    }
  }

  async run(): Promise<ChangeProgress> {
    const { dryRun } = this.call
    let leader = await this.leader()
    let newcomers: readonly Newcomer[] = await this.lookAtAll(leader)
    const gates = await this.decide(leader, newcomers)
    const decided = this.say({ stage: 'gates', gates, membership: membershipOf(leader) })
    if (dryRun) return decided
    this.refuse(gates)
    if (newcomers.some((one) => one.problem !== '')) {
      newcomers = await this.untilTheyRun(newcomers)
      leader = await this.leader()
      this.refuse(await this.decide(leader, newcomers))
    }
    return await this.execute(leader)
  }

  /** The page of who leads, planned upon the members that it names. Throws E_NO_LEADER, E_PLAN_STALE. */
  private async leader(): Promise<RaftStat> {
    const { endpoint, group, expectVoters, remove } = this.call
    const { stat } = await this.pages.node(endpoint, group)
    if (stat.state !== 'LEADER' && stat.state !== 'TRANSFERRING')
      throw new CliError('E_NO_LEADER', `${endpoint} does not lead any more; nothing was changed`, {
        details: { node: endpoint, applied: 'no' },
      })
    if (expectVoters !== null && !sameSet(stat.peers, expectVoters))
      throw new CliError(
        'E_PLAN_STALE',
        `the members are ${stat.peers.map(addressOf).join(', ')}, and this was planned upon ${expectVoters.map(addressOf).join(', ')}`,
      )
    const stranger = remove.find((member) => !has(stat.peers, member.peerId))
    if (stranger) throw new CliError('E_NO_SUCH_NODE', `${stranger.peerId} is not a member of group ${stat.group}: ${stat.peers.join(' ')}`)
    return stat
  }

  private async decide(leader: RaftStat, added: readonly Newcomer[]): Promise<PlanGate[]> {
    const others = leader.peers.filter((peer) => peerKey(peer) !== peerKey(leader.peerId))
    const pages = await Promise.all(others.map((peer) => this.pages.node(addressOf(peer), leader.group).catch(unlessRefused)))
    return braftGates({ leader, others: pages.flatMap((page) => (page ? [page.stat] : [])), added, removed: this.call.remove })
  }

  private lookAtAll(leader: RaftStat): Promise<Newcomer[]> {
    const added = this.call.add.filter((member) => !has(leader.peers, member.peerId))
    return Promise.all(added.map((member) => this.lookAt(member, leader.group)))
  }

  private async lookAt(member: NamedPeer, group: string): Promise<Newcomer> {
    try {
      const { stat } = await this.pages.node(addressOf(member.peerId), group)
      return { ...member, stat, problem: '', elsewhere: false }
    } catch (thrown) {
      if (!(thrown instanceof CliError)) throw thrown
      if (thrown.code === 'E_UNREACHABLE') return { ...member, stat: null, problem: String(thrown.details.reason), elsewhere: false }
      return { ...member, stat: null, problem: thrown.message.replace(`${addressOf(member.peerId)} `, ''), elsewhere: true }
    }
  }

  private refuse(gates: readonly PlanGate[]): void {
    const failing = gates.filter(({ gate, passed, code }) => gate.startsWith('G') && !passed && code !== AWAITED)
    const standing = failing.find(({ forcible }) => !(forcible && this.call.force))
    if (!standing) return
    const code = standing.code !== null && isErrorCode(standing.code) ? standing.code : 'E_INTERNAL'
    throw new CliError(code, standing.message, { details: { gate: standing.gate, applied: 'no' } })
  }

  private async untilTheyRun(first: readonly Newcomer[]): Promise<readonly Newcomer[]> {
    let newcomers = first
    for (;;) {
      const silent = newcomers.filter((one) => one.stat === null && !one.elsewhere)
      if (silent.length === 0) return newcomers
      for (const { peerId, problem } of silent) this.say({ stage: 'catching_up', peerId, stalled: `does not answer: ${problem}` })
      if (performance.now() > this.deadline) throw this.silence(silent)
      await pause(ASK_MS, undefined, this.call.signal ? { signal: this.call.signal } : {}).catch(() => {})
      if (this.call.signal?.aborted) throw new CliError('E_INTERRUPTED', 'interrupted before anything had begun')
      newcomers = await this.lookAtAll(await this.leader())
    }
  }

  private silence(silent: readonly Newcomer[]): CliError {
    const who = silent.map(({ id, problem }) => `${id} does not answer (${problem})`)
    const message = `${who.join('; ')}: gave up after ${seconds(this.call.catchupTimeoutMs)}, and the members are what they were`
    return new CliError('E_WAIT_TIMEOUT', message)
  }

  private async execute(leader: RaftStat): Promise<ChangeProgress> {
    const { endpoint, signal, add } = this.call
    const target = [...leader.peers.filter((peer) => !has(this.call.remove.map(peerIdOf), peer)), ...this.missingIn(leader)]
    const on = { endpoint, group: leader.group, node: leader.peerId }
    const progress = new BraftProgress(this.pages, on, add.map(peerIdOf), (seen) => this.say(seen))
    const timeoutMs = Math.max(1, Math.round(this.deadline - performance.now())) + VERDICT_MS
    try {
      await this.calls.change(on, this.requestFor(leader, target), {
        timeoutMs,
        check: 'raftctl member list',
        ...(signal ? { signal } : {}),
      })
    } catch (thrown) {
      throw progress.isCatchingUp ? this.goesOn(thrown) : thrown
    } finally {
      progress.stop()
    }
    const { stat } = await this.pages.node(endpoint, leader.group)
    if (sameSet(stat.peers, target)) return this.say({ stage: 'done', membership: membershipOf(stat) })
    const members = stat.peers.map(addressOf).join(', ')
    throw new CliError(
      'E_OUTCOME_UNKNOWN',
      `${endpoint} made the change, and its members are ${members}: somebody else changes them, too`,
      {
        hint: 'Look before you repeat it:  raftctl member list',
      },
    )
  }

  private missingIn(leader: RaftStat): string[] {
    return this.call.add.map(peerIdOf).filter((peer) => !has(leader.peers, peer))
  }

  private requestFor(leader: RaftStat, target: readonly string[]): PeerChange {
    const added = this.missingIn(leader)
    const removed = this.call.remove.map(peerIdOf)
    if (added.length === 1 && removed.length === 0) return { kind: 'add', peer: added[0]! }
    if (added.length === 0 && removed.length === 1) return { kind: 'remove', peer: removed[0]! }
    return { kind: 'set', peers: target }
  }

  /** braft has no end of catching up, and no way to call it off. */
  private goesOn(thrown: unknown): unknown {
    if (!(thrown instanceof CliError) || thrown.code !== 'E_OUTCOME_UNKNOWN') return thrown
    const who = this.call.add.map(({ id }) => id).join(', ')
    return new CliError(
      'E_OUTCOME_UNKNOWN',
      `${who} did not catch up within ${seconds(this.call.catchupTimeoutMs)}, and the leader goes on with it`,
      {
        hint: `See what comes of it:  raftctl member list --watch\nTo have the leader give it up, stop the process of ${who}.`,
        details: { node: this.call.endpoint },
      },
    )
  }

  private say(seen: Partial<ChangeProgress> & { readonly stage: string }): ChangeProgress {
    const progress = { ...QUIET, ...seen }
    this.listener(progress)
    return progress
  }
}

function membershipOf(stat: RaftStat) {
  return braftReport('', stat, { pid: null, uptimeMs: null, revision: null }).membership
}

function peerIdOf({ peerId }: NamedPeer): string {
  return peerId
}

function has(peers: readonly string[], peer: string): boolean {
  return peers.some((one) => peerKey(one) === peerKey(peer))
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((peer) => has(b, peer))
}

function unlessRefused(thrown: unknown): null {
  if (thrown instanceof CliError) return null
  throw thrown
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`
}
