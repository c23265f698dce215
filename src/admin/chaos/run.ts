import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { CliError } from '../../terminal/errors.js'
import { ClusterClient } from '../cluster-client.js'
import { survey } from '../discovery.js'
import { type ClusterEvent, EventFeed } from '../events.js'
import { type ClusterStatus, type NodeRow, statusOf } from '../status.js'
import { type ChaosFault, isProcessFault, type ProcessFault, type Target, targetOf } from './fault.js'
import { FaultCalls } from './fault-calls.js'
import { faultText, msText } from './fault-text.js'
import { cast, type PlannedFault } from './plan.js'
import { type ChaosReport, type FaultReport, reportOf } from './report.js'
import { eventText, type StoryLine } from './story.js'
import { awaitConvergence, type Convergence, compareMembers, judgeHistory, readBack, twoLeaders } from './verification.js'
import { BackgroundWriter } from './writer.js'

/** Processes of this machine; everything but killing and freezing a node needs none of it. */
export interface Processes {
  /** Breaks the process of a node, and sees to it that it heals after `forMs` whatever becomes of this process. */
  strike(id: string, fault: ProcessFault, forMs: number): Promise<void>
  heal(id: string): Promise<void>
  /** Starts a node anew that runs and takes no part any more; false where that is not for us to do. */
  restart(address: string): Promise<boolean>
}

export interface ChaosOptions {
  /** Faults in the order of their times; may never end. */
  readonly faults: Iterable<PlannedFault>
  /** Of the scenario; null for single faults. */
  readonly scenario: string | null
  readonly seed: number | null
  readonly random: () => number
  /** 0: nothing is written, and nothing proved. */
  readonly writers: number
  /** How long the cluster may take to be as before once all is healed. */
  readonly settleMs: number
  /** Ends the faults early: everything is healed, then verified as ever. */
  readonly signal: AbortSignal
  readonly onStory: (line: StoryLine) => void
}

interface Underway {
  readonly id: string
  readonly fault: ChaosFault
  readonly startedAtMs: number
  readonly endsAtMs: number
  /** Who took it. */
  readonly addresses: readonly string[]
}

/** A writer that got nothing acknowledged in this time proves nothing. */
const FIRST_WRITES_MS = 10_000
/** Events come this much later than they happen. */
const EVENT_LAG_MS = 400
const ASK_MS = 1000

/**
 * One run: writers begin, faults come and heal by their times, then the cluster must become as it was and hold every
 * acknowledged write. Owns its clients; dispose of it.
 */
export class ChaosRun implements Disposable {
  private readonly asking: ClusterClient
  private readonly calls: FaultCalls
  private readonly story: StoryLine[] = []
  private readonly faults: FaultReport[] = []
  private readonly wins: { readonly term: number; readonly node: string }[] = []
  private readonly id = randomBytes(3).toString('hex')
  private active: Underway[] = []
  private startedAt = performance.now()
  private wallStartedAt = Date.now()
  private lastFaultAtMs: number | null = null
  private count = 0

  constructor(
    private readonly client: ClusterClient,
    private readonly processes: Processes | null,
    private readonly options: ChaosOptions,
  ) {
    const { connection } = client
    // A node that is frozen must not hold up the others.
    this.asking = new ClusterClient({ ...connection, timeoutMs: ASK_MS, connectTimeoutMs: Math.min(500, connection.connectTimeoutMs) })
    this.calls = new FaultCalls(connection)
  }

  [Symbol.dispose](): void {
    this.asking[Symbol.dispose]()
    this.calls[Symbol.dispose]()
  }

  /** Throws what stands in the way before anything is broken: E_NO_LEADER, E_NO_QUORUM, E_FAULTS_DISABLED, E_NO_SUCH_NODE. */
  async run(): Promise<{ readonly report: ChaosReport; readonly error: CliError | null; readonly clusterId: string | null }> {
    const before = statusOf(await survey(this.client))
    if (before.error) throw before.error
    const members = membersOf(before.status)
    const endpoints = members.map(({ address }) => address)
    const writer = this.options.writers > 0 ? new BackgroundWriter(this.client.connection, endpoints, this.options.writers) : null
    const listening = new AbortController()
    const heard = this.listen(listening.signal)
    try {
      if (writer && !(await writer.reaches(this.options.writers, FIRST_WRITES_MS)))
        throw new CliError('E_NO_QUORUM', `no write was acknowledged within ${msText(FIRST_WRITES_MS)}: there is nothing to break`)
      this.startedAt = performance.now()
      this.wallStartedAt = Date.now()
      await this.breakThings(members)
      const sound = new Set(before.status.nodes.filter(isSound).map((row) => row.address))
      const convergence = await this.converge(sound)
      await writer?.stop()
      await pause(EVENT_LAG_MS)
      return { ...(await this.conclude(writer, convergence, endpoints)), clusterId: before.clusterId }
    } finally {
      await this.healAll()
      await writer?.stop()
      await writer?.wipe(endpoints)
      listening.abort()
      await heard
    }
  }

  private async breakThings(members: readonly Target[]): Promise<void> {
    const { signal } = this.options
    const planned = this.options.faults[Symbol.iterator]()
    let next = planned.next()
    while (!signal.aborted && (!next.done || this.active.length > 0)) {
      const due = Math.min(next.done ? Number.POSITIVE_INFINITY : next.value.atMs, ...this.active.map((one) => one.endsAtMs))
      await pause(Math.max(0, due - this.now()), undefined, { signal }).catch(() => {})
      if (signal.aborted) break
      await this.healDue()
      if (next.done || next.value.atMs > this.now()) continue
      await this.strike(next.value, members)
      next = planned.next()
    }
    await this.healAll()
  }

  private async strike({ draft, forMs }: PlannedFault, members: readonly Target[]): Promise<void> {
    const { status } = statusOf(await survey(this.asking))
    const fault = cast(draft, { members, free: this.whole(status), leader: status.leader }, this.options.random)
    if (fault === null)
      return this.tell('fault', null, `nobody to ${draft.kind === 'kill' || draft.kind === 'pause' ? draft.kind : 'break'}: left out`)
    const id = `${this.id}.${++this.count}`
    const startedAtMs = this.now()
    this.lastFaultAtMs = startedAtMs
    this.tell('fault', isProcessFault(fault) ? fault.node : null, `${faultText(fault)} for ${msText(forMs)}${ledBy(fault, status)}`)
    try {
      const addresses = await this.apply(id, fault, { members, forMs })
      this.active.push({ id, fault, startedAtMs, endsAtMs: startedAtMs + forMs, addresses })
    } catch (thrown) {
      // The first shows what cannot work at all; later ones may meet what earlier ones did.
      if (!(thrown instanceof CliError) || (this.faults.length === 0 && this.active.length === 0)) throw thrown
      this.tell('fault', null, `left out: ${thrown.message}`)
    }
  }

  private async apply(id: string, fault: ChaosFault, { members, forMs }: { readonly members: readonly Target[]; readonly forMs: number }) {
    if (!isProcessFault(fault)) return await this.calls.set(id, fault, { members, forMs })
    if (this.processes === null)
      throw new CliError('E_REMOTE', `a process can be ${fault.kind === 'kill' ? 'killed' : 'frozen'} on its own machine only`)
    await this.processes.strike(id, fault, forMs)
    return [targetOf(fault.node, members).address]
  }

  private async healDue(): Promise<void> {
    const now = this.now()
    for (const one of this.active.filter(({ endsAtMs }) => endsAtMs <= now)) await this.heal(one)
  }

  private async healAll(): Promise<void> {
    for (const one of this.active) await this.heal(one)
  }

  private async heal(one: Underway): Promise<void> {
    const { id, fault, addresses, startedAtMs } = one
    this.active = this.active.filter((other) => other !== one)
    if (isProcessFault(fault)) await this.processes?.heal(id)
    else await this.calls.heal(id, addresses)
    const endedAtMs = this.now()
    this.faults.push({ kind: fault.kind, text: faultText(fault), startedAtMs: Math.round(startedAtMs), endedAtMs: Math.round(endedAtMs) })
    this.tell('heal', isProcessFault(fault) ? fault.node : null, healText(fault))
  }

  /** Everybody who was sound before must be so again. */
  private async converge(sound: ReadonlySet<string>): Promise<Convergence> {
    const revive = async ({ address, id }: Target) => {
      if (this.processes === null || !(await this.processes.restart(address))) return
      this.tell('heal', id, `${id} had stopped for good and is started anew`)
    }
    return awaitConvergence(this.asking, sound, { withinMs: this.options.settleMs, signal: new AbortController().signal, revive })
  }

  private async conclude(writer: BackgroundWriter | null, convergence: Convergence, endpoints: readonly string[]) {
    const { seed, scenario } = this.options
    const about = { seed, scenario, faults: this.faults, story: this.inOrder(), convergence, doubleLeaders: twoLeaders(this.wins) }
    if (writer === null) return reportOf({ ...about, writes: null, history: null, agreement: null, problem: null, diverged: null })
    const reader = writer.reader(endpoints)
    try {
      const found = await readBack(writer, reader)
      const { agreement, error } = await compareMembers(this.client)
      const history = judgeHistory(writer)
      return reportOf({ ...about, writes: { ...writer.tally(), ...found }, history, agreement, problem: null, diverged: error })
    } catch (thrown) {
      // It does not answer: that is a finding, and what was acknowledged stays to be looked at.
      const problem = thrown instanceof Error ? thrown.message : String(thrown)
      const writes = { ...writer.tally(), verified: 0, lost: [], refusedButThere: [] }
      return reportOf({ ...about, writes, history: judgeHistory(writer), agreement: null, problem, diverged: null })
    } finally {
      reader.close()
    }
  }

  /** Members that answer, and whose process is not broken already. */
  private whole({ nodes }: ClusterStatus): string[] {
    const broken = this.active.flatMap(({ fault }) => (isProcessFault(fault) ? [fault.node] : []))
    return nodes.filter((row) => row.role !== null && row.reachable && !broken.includes(row.id)).map(({ id }) => id)
  }

  private async listen(signal: AbortSignal): Promise<void> {
    using feed = new EventFeed(this.asking.connection, { types: [], node: null, notBeforeMs: Date.now() })
    try {
      for await (const event of feed.follow(signal, () => {})) this.hear(event)
    } catch (thrown) {
      // Without the events the story is shorter, and nothing else is missing.
      if (!(thrown instanceof CliError)) throw thrown
    }
  }

  private hear(event: ClusterEvent): void {
    if (event.name === 'election.won') this.wins.push({ term: Number(event.fields.term), node: event.node })
    const atMs = event.timeMs - this.wallStartedAt
    const sinceFaultMs = this.lastFaultAtMs === null ? null : atMs - this.lastFaultAtMs
    const text = atMs < 0 ? null : eventText(event, this.active.length > 0 ? sinceFaultMs : null)
    if (text !== null) this.add({ atMs: Math.round(atMs), kind: 'event', node: event.node, text })
  }

  private tell(kind: 'fault' | 'heal', node: string | null, text: string): void {
    this.add({ atMs: Math.round(this.now()), kind, node, text })
  }

  private add(line: StoryLine): void {
    this.story.push(line)
    this.options.onStory(line)
  }

  private inOrder(): StoryLine[] {
    return [...this.story].sort((a, b) => a.atMs - b.atMs)
  }

  private now(): number {
    return performance.now() - this.startedAt
  }
}

/** Members as they are called; who answers and is in no configuration is none. */
export function membersOf(status: ClusterStatus): Target[] {
  return status.nodes.filter((row) => row.role !== null).map(({ id, address }) => ({ id, address }))
}

function isSound(row: NodeRow): boolean {
  return row.role !== null && row.reachable && row.state === 'ok'
}

function ledBy(fault: ChaosFault, { leader }: ClusterStatus): string {
  if (leader === null) return ''
  return fault.kind !== 'partition' && fault.node === leader ? ' (it leads)' : ` (${leader} leads)`
}

function healText(fault: ChaosFault): string {
  if (fault.kind === 'kill') return `${fault.node} is started again`
  return fault.kind === 'pause' ? `${fault.node} goes on` : 'healed'
}
