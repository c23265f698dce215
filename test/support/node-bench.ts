import * as uvu from 'uvu/assert'
import { type Closure, closure, type Done } from '../../src/raft/closure.js'
import type { Configuration } from '../../src/raft/configuration.js'
import { ErrorCode, errorName, Status } from '../../src/raft/errors.js'
import type { EntryBatch } from '../../src/raft/log-entry.js'
import type {
  Answer,
  AppendEntriesRequest,
  AppendEntriesResponse,
  RequestVoteRequest,
  RequestVoteResponse,
} from '../../src/raft/messages.js'
import { Node, type NodeOptions } from '../../src/raft/node.js'
import type { NodeImpl } from '../../src/raft/node-impl.js'
import { PeerId } from '../../src/raft/peer-id.js'
import type { IdentityStorage, NodeIdentity, RaftMeta, RaftMetaStorage } from '../../src/raft/storage.js'
import { asTerm, logIndex } from '../../src/raft/types.js'
import { members, peer } from './entries.js'
import { FakeEnvironment } from './fake-environment.js'
import { FakeLogStorage } from './fake-log-storage.js'
import { RecordingMachine } from './fsm-caller-bench.js'
import { ScriptedTransport } from './scripted-transport.js'

/** T in these tests. */
export const T = 1000

/** Term and vote on a disk that works when told to. */
export class FakeMetaStorage implements RaftMetaStorage {
  readonly pending: { readonly meta: RaftMeta; readonly done: Done }[] = []
  stored: RaftMeta

  constructor(stored: RaftMeta = { term: asTerm(1), votedFor: PeerId.EMPTY }) {
    this.stored = stored
  }

  load(done: (status: Status, meta?: RaftMeta) => void): void {
    done(Status.OK, this.stored)
  }

  save(meta: RaftMeta, done: Done): void {
    this.pending.push({ meta, done })
  }

  completeOne(status = Status.OK): boolean {
    const next = this.pending.shift()
    if (!next) return false
    if (status.ok) this.stored = next.meta
    next.done(status)
    return true
  }
}

/** `node.json` on a disk that works when told to. */
export class FakeIdentityStorage implements IdentityStorage {
  readonly pending: (() => void)[] = []
  readonly saved: NodeIdentity[] = []

  constructor(public stored: NodeIdentity) {}

  load(_standing: string, done: (status: Status, identity?: NodeIdentity) => void): void {
    this.pending.push(() => done(Status.OK, this.stored))
  }

  save(identity: NodeIdentity, done: Done): void {
    this.pending.push(() => {
      this.stored = identity
      this.saved.push(identity)
      done(Status.OK)
    })
  }

  completeOne(): boolean {
    const next = this.pending.shift()
    next?.()
    return next !== undefined
  }
}

interface BenchOptions extends Partial<Omit<NodeOptions, 'environment' | 'logStorage' | 'metaStorage' | 'fsm'>> {
  readonly group?: string
  readonly conf?: Configuration
  readonly disk?: FakeLogStorage
  readonly meta?: FakeMetaStorage
  readonly identity?: FakeIdentityStorage
  readonly seed?: number
}

/** What came of a question: null until the answer is there. */
export interface Answered<R> {
  status: Status | null
  response: R | null
  count: number
}

/** The member 1 of a group, with its own disks and a world that is played by the test. */
export class NodeBench {
  readonly transport = new ScriptedTransport()
  readonly environment: FakeEnvironment
  readonly machine = new RecordingMachine()
  readonly disk: FakeLogStorage
  readonly meta: FakeMetaStorage
  readonly identity: FakeIdentityStorage | null
  readonly node: Node
  readonly impl: NodeImpl
  /** What callers were told, in order. */
  readonly told: string[] = []
  /** Disks that do nothing unless the test says so. */
  readonly held = { log: false, meta: false, identity: false }
  private readonly options: BenchOptions

  constructor(options: BenchOptions = {}) {
    this.options = options
    this.node = new Node(options.group ?? 'g', peer(1))
    this.impl = this.node.handler as NodeImpl
    this.environment = new FakeEnvironment({ seed: options.seed ?? 1, transport: this.transport })
    this.transport.clock = this.environment.clock
    this.disk = options.disk ?? new FakeLogStorage()
    this.meta = options.meta ?? new FakeMetaStorage()
    this.identity = options.identity ?? null
  }

  /** Starts the node and lets its disks catch up. */
  init(): this {
    this.node.init(
      {
        environment: this.environment,
        initialConf: this.options.conf ?? members(1, 2, 3),
        fsm: this.machine,
        logStorage: this.disk,
        metaStorage: this.meta,
        identityStorage: this.identity,
        bootId: 'boot-1',
        electionTimeoutMs: T,
        ...this.options,
      },
      this.tell('init'),
    )
    this.settle()
    return this
  }

  /** A follower in `term` that was started before and has heard of no leader since. */
  static follower(term = 5, options: BenchOptions = {}): NodeBench {
    return new NodeBench({ meta: new FakeMetaStorage({ term: asTerm(term), votedFor: PeerId.EMPTY }), ...options }).init()
  }

  /** A leader in `term` whose first entry is committed. */
  static leader(term = 6, options: BenchOptions = {}): NodeBench {
    const bench = NodeBench.follower(term - 1, options)
    bench.elect()
    for (const stream of bench.transport.streams) stream.answerAll()
    bench.settle()
    uvu.ok(bench.impl.leaderReady, 'the bench has a ready leader')
    return bench
  }

  /** Everything that can happen without time or peers happens. */
  settle(): void {
    for (let moved = true; moved; ) {
      moved = this.environment.executor.run() > 0
      moved = (!this.held.log && this.disk.completeOne()) || moved
      moved = (!this.held.meta && this.meta.completeOne()) || moved
      moved = (!this.held.identity && (this.identity?.completeOne() ?? false)) || moved
    }
  }

  /** Time passes, a millisecond at a time, with all that follows. */
  advance(ms: number): void {
    for (let i = 0; i < ms; i++) {
      this.environment.clock.advance(1)
      this.settle()
    }
  }

  /** Lets time pass until `condition`; fails after `limitMs`. */
  until(what: string, condition: () => boolean, limitMs = 3 * T): number {
    for (let ms = 0; ms <= limitMs; ms++) {
      if (condition()) return ms
      this.advance(1)
    }
    throw new Error(`did not happen within ${limitMs} ms: ${what}`)
  }

  get now(): number {
    return this.environment.clock.now()
  }

  get state(): string {
    return this.impl.state
  }

  get term(): number {
    return this.impl.meta.term
  }

  /** Wins an election; followers have answered nothing else yet. */
  elect(...voters: number[]): void {
    const granting = voters.length > 0 ? voters : [2, 3]
    this.until('a pre-vote', () => this.transport.open('preVote').length > 0)
    for (const n of granting) this.grant('preVote', n)
    this.settle()
    for (const n of granting) this.grant('requestVote', n)
    this.settle()
    uvu.is(this.state, 'LEADER')
  }

  grant(method: 'preVote' | 'requestVote', n: number): void {
    const call = this.transport.open(method, peer(n)).at(-1)
    if (!call) return
    const term = method === 'preVote' ? asTerm(call.request.term - 1) : call.request.term
    call.finish(Status.OK, { term, granted: true, disrupted: false, previousTerm: term, rejectedByLease: false })
  }

  refuse(method: 'preVote' | 'requestVote', n: number, term = this.term): void {
    const call = this.transport.open(method, peer(n)).at(-1)!
    call.finish(Status.OK, { term: asTerm(term), granted: false, disrupted: false, previousTerm: asTerm(term), rejectedByLease: false })
  }

  stream(n: number) {
    return this.transport.stream(peer(n))
  }

  /** A follower takes everything it was sent. */
  take(n: number): void {
    this.stream(n).answerAll()
    this.settle()
  }

  /** What a leader `n` sends; asks for nothing that was not given. */
  append(n: number, term: number, fields: { prev?: [number, number]; entries?: EntryBatch; committed?: number } = {}) {
    const [prevIndex, prevTerm] = fields.prev ?? [0, 0]
    const request: AppendEntriesRequest = {
      groupId: 'g',
      serverId: peer(n),
      peerId: peer(1),
      term: asTerm(term),
      prevLogIndex: logIndex(prevIndex),
      prevLogTerm: asTerm(prevTerm),
      committedIndex: logIndex(fields.committed ?? 0),
      entries: fields.entries ?? null,
    }
    return this.ask<AppendEntriesResponse>((answer) => this.impl.handleAppendEntries(request, answer))
  }

  vote(
    method: 'preVote' | 'requestVote',
    n: number,
    term: number,
    last: [number, number] = [0, 0],
    disrupted: RequestVoteRequest['disruptedLeader'] = null,
  ) {
    const request: RequestVoteRequest = {
      groupId: 'g',
      serverId: peer(n),
      peerId: peer(1),
      term: asTerm(term),
      lastLogIndex: logIndex(last[0]),
      lastLogTerm: asTerm(last[1]),
      disruptedLeader: disrupted,
    }
    return this.ask<RequestVoteResponse>((answer) =>
      method === 'preVote' ? this.impl.handlePreVote(request, answer) : this.impl.handleRequestVote(request, answer),
    )
  }

  /** Asks the node; the answer is whatever came until now. Disks that are not held catch up first. */
  ask<R>(question: (answer: Answer<R>) => void): Answered<R> {
    const answered: Answered<R> = { status: null, response: null, count: 0 }
    question((status, response) => {
      answered.count++
      answered.status = status
      answered.response = response ?? null
    })
    this.settle()
    return answered
  }

  /** Proposes; the outcome is told under the text. */
  propose(text: string, expectedTerm?: number): void {
    const task = { data: Buffer.from(text), done: this.waiting(text) }
    this.node.apply(expectedTerm === undefined ? task : { ...task, expectedTerm: asTerm(expectedTerm) })
    this.settle()
  }

  waiting(name: string): Closure {
    return closure(this.tell(name))
  }

  tell(name: string): (status: Status, index?: number) => void {
    return (status, index) =>
      this.told.push(`${name} ${status.ok ? 'OK' : errorName(status.code)}${index === undefined ? '' : ` ${index}`}`)
  }

  read(name: string, timeoutMs = T): void {
    this.node.readIndex(timeoutMs, this.tell(name))
    this.settle()
  }

  /** Names of events, without those of the log and the machine. */
  events(...names: string[]): string[] {
    return this.environment.observer.events.map((event) => event.name).filter((name) => names.includes(name))
  }
}

export const unreachable = Status.error(ErrorCode.EHOSTDOWN, 'nobody listens')
