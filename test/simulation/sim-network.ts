import type { AppendStream, AppendStreamEvents, Call, Checksum, DialResult, Transport } from '../../src/raft/environment.js'
import { ErrorCode, Status } from '../../src/raft/errors.js'
import { EntryBatch } from '../../src/raft/log-entry.js'
import type { Answer, AppendEntriesRequest, AppendEntriesResponse, PeerCalls, PeerHandler, PeerMethod } from '../../src/raft/messages.js'
import type { PeerId } from '../../src/raft/peer-id.js'
import type { Scheduler } from './scheduler.js'
import type { SimProcess } from './sim-process.js'
import type { SimRandom } from './sim-random.js'

/** How links behave; changed by faults while the network runs. */
export interface NetworkProfile {
  delayMinMs: number
  delayMeanMs: number
  /** Calls: chance that a request, or an answer, is lost. Streams: chance that a message is sent again, much later. */
  lossRate: number
  /** Calls only: chance that a request arrives twice. */
  duplicateRate: number
  /** Chance per stream message that the connection resets. */
  resetRate: number
}

/** What a checker sees of the traffic, at the moment a message leaves its process. */
export interface NetworkObserver {
  requestSent(from: SimProcess, to: string, method: PeerMethod, request: object): void
  responseSent(from: SimProcess, to: string, method: PeerMethod, request: object, response: object): void
  appendSent(from: SimProcess, to: string, request: AppendEntriesRequest): void
  appendAnswered(from: SimProcess, to: string, request: AppendEntriesRequest, response: AppendEntriesResponse): void
}

/** A machine of the network: what answers at its address now, if anything. */
export interface Host {
  process: SimProcess | null
  /** The machine runs: when nobody listens it says so. */
  poweredOn: boolean
}

/** A retransmission after loss comes this much later (a TCP timeout). */
const RETRANSMIT_MS = 200
/** A connection through a cut link gives up after this, and up to twice this. */
const CONNECTION_TIMEOUT_MS = 4000

/**
 * Links between processes in virtual time.
 *
 * Calls promise nothing: they may be late, lost, twice, out of order. Streams are ordered and whole, or they break; a cut
 * or clogged link holds what is under way, which then arrives late or never because the connection gave up.
 * A process that dies breaks its streams at once while its machine runs; when the machine lost power, the other side finds
 * out when it answers again, or by its own time limits. A paused process breaks nothing: its kernel still accepts.
 */
export class SimNetwork {
  readonly hosts = new Map<string, Host>()
  readonly messages = { sent: 0, lost: 0, duplicated: 0, held: 0, streamsBroken: 0 }
  observer: NetworkObserver | null = null
  private readonly cuts = new Set<string>()
  private readonly cloggedUntil = new Map<string, number>()
  private readonly streams = new Set<SimStream>()

  constructor(
    readonly scheduler: Scheduler,
    readonly profile: NetworkProfile,
    readonly random: SimRandom,
    readonly checksum: Checksum,
  ) {}

  /** The Transport port of one process. */
  transportOf(process: SimProcess): Transport {
    this.hosts.set(process.address, { process, poweredOn: true })
    for (const stream of this.streams) if (stream.toAddress === process.address) stream.resume()
    return {
      call: (to, method, request, timeoutMs, done) => this.call(process, to, method, request, timeoutMs, done),
      openAppendStream: (groupId, from, to, events) => this.openStream(process, groupId, from, to, events),
      dial: (to, timeoutMs, done) => this.dial(process, to, timeoutMs, done),
    }
  }

  /** The process at that address is gone; `poweredOn` says whether its machine still answers. */
  processGone(address: string, poweredOn: boolean): void {
    this.hosts.set(address, { process: null, poweredOn })
    for (const stream of [...this.streams]) {
      if (stream.from.address === address && !stream.from.alive) stream.senderDied(poweredOn)
      else if (stream.toAddress === address) stream.receiverDied(poweredOn)
    }
  }

  isCut(from: string, to: string): boolean {
    return this.cuts.has(`${from}>${to}`)
  }

  /** Nothing passes from `from` to `to` until it is mended. */
  cutOneWay(from: string, to: string): void {
    if (from !== to) this.cuts.add(`${from}>${to}`)
  }

  mend(from: string, to: string): void {
    if (this.cuts.delete(`${from}>${to}`)) for (const stream of [...this.streams]) stream.resume()
  }

  mendAll(): void {
    this.cuts.clear()
    this.cloggedUntil.clear()
    for (const stream of [...this.streams]) stream.resume()
  }

  /** What passes from `from` to `to` arrives only after this long. */
  clog(from: string, to: string, forMs: number): void {
    this.cloggedUntil.set(`${from}>${to}`, this.scheduler.now + forMs)
  }

  latency(from: string, to: string): number {
    const { delayMinMs, delayMeanMs } = this.profile
    const delay = delayMinMs + this.random.exponential(Math.max(0.001, delayMeanMs - delayMinMs))
    const clogged = this.cloggedUntil.get(`${from}>${to}`)
    return clogged !== undefined && clogged > this.scheduler.now ? clogged - this.scheduler.now + delay : delay
  }

  forget(stream: SimStream): void {
    this.streams.delete(stream)
  }

  private call<M extends PeerMethod>(
    source: SimProcess,
    to: PeerId,
    method: M,
    request: PeerCalls[M]['request'],
    timeoutMs: number,
    done: (status: Status, response?: PeerCalls[M]['response']) => void,
  ): Call {
    const { scheduler, random, profile } = this
    let open = true
    const finish = (status: Status, response?: PeerCalls[M]['response']): void => {
      if (!open) return
      open = false
      timeout.cancel()
      done(status, response)
    }
    const timeout = source.clock.schedule(timeoutMs, () => finish(Status.error(ErrorCode.ETIMEDOUT, `no answer to ${method} within ${timeoutMs} ms`)), `timeout:${method}`)
    const from = source.address
    const target = to.address
    this.messages.sent++
    this.observer?.requestSent(source, target, method, request)
    const copy = frozen(request)
    const arrive = (): void => {
      if (this.isCut(from, target)) return void this.messages.lost++
      const host = this.hosts.get(target)
      if (!host?.process) {
        if (host?.poweredOn && !this.isCut(target, from)) {
          scheduler.schedule(this.latency(target, from), source, `refused:${method}`, () => finish(Status.error(ErrorCode.EHOSTDOWN, `${target} refused the connection`)))
        }
        return
      }
      this.serve(host.process, source, method, copy, finish)
    }
    const copies = random.chance(profile.duplicateRate) ? 2 : 1
    if (copies === 2) this.messages.duplicated++
    for (let i = 0; i < copies; i++) {
      if (random.chance(profile.lossRate)) this.messages.lost++
      else scheduler.schedule(this.latency(from, target), null, `arrive:${method}`, arrive)
    }
    return {
      cancel: () => {
        open = false
        timeout.cancel()
      },
    }
  }

  private serve<M extends PeerMethod>(
    process: SimProcess,
    source: SimProcess,
    method: M,
    request: PeerCalls[M]['request'],
    finish: (status: Status, response?: PeerCalls[M]['response']) => void,
  ): void {
    const { scheduler, random, profile } = this
    const answer = (status: Status, response?: PeerCalls[M]['response']): void => {
      if (response) this.observer?.responseSent(process, source.address, method, request, response)
      const copy = response ? frozen(response) : undefined
      if (random.chance(profile.lossRate)) return void this.messages.lost++
      scheduler.schedule(this.latency(process.address, source.address), source, `answer:${method}`, () => {
        if (!this.isCut(process.address, source.address)) finish(status, copy)
      })
    }
    scheduler.post(process, `recv:${method}`, () => {
      const handler = process.handlers.get(request.groupId)
      if (!handler) answer(Status.error(ErrorCode.ENOENT, `no group ${request.groupId} here`))
      else callHandler(handler, method, request, onlyOnce(method, answer))
    })
  }

  private dial(source: SimProcess, to: PeerId, timeoutMs: number, done: (result: DialResult) => void): void {
    const { scheduler } = this
    const from = source.address
    const target = to.address
    let open = true
    const finish = (result: DialResult): void => {
      if (!open) return
      open = false
      timeout.cancel()
      done(result)
    }
    const timeout = source.clock.schedule(timeoutMs, () => finish('unknown'), 'timeout:dial')
    scheduler.schedule(this.latency(from, target), null, 'arrive:dial', () => {
      const host = this.hosts.get(target)
      if (this.isCut(from, target) || this.isCut(target, from) || !host || (!host.process && !host.poweredOn)) return
      const result = host.process ? 'accepted' : 'refused'
      scheduler.schedule(this.latency(target, from), source, 'answer:dial', () => finish(result))
    })
  }

  private openStream(source: SimProcess, groupId: string, from: PeerId, to: PeerId, events: AppendStreamEvents): AppendStream {
    const stream = new SimStream(this, source, groupId, from, to.address, events)
    this.streams.add(stream)
    return stream
  }
}

/** One direction of a connection: what is sent arrives in order, or waits while the way is blocked. */
class Lane {
  private last = 0
  private readonly held: (() => void)[] = []

  constructor(
    private readonly network: SimNetwork,
    private readonly from: string,
    private readonly to: string,
    private readonly isBlocked: () => boolean,
    private readonly onHeld: () => void,
  ) {}

  get holds(): boolean {
    return this.held.length > 0
  }

  /** Not before the message sent last; a lost one is sent again, much later. */
  send(label: string, arrive: () => void): void {
    const { scheduler, random, profile, messages } = this.network
    const lost = random.chance(profile.lossRate)
    if (lost) messages.lost++
    this.last = Math.max(this.last, scheduler.now + this.network.latency(this.from, this.to) + (lost ? RETRANSMIT_MS * random.between(0.5, 2) : 0))
    scheduler.scheduleAt(this.last, null, label, () => {
      if (!this.holds && !this.isBlocked()) return arrive()
      this.held.push(arrive)
      messages.held++
      this.onHeld()
    })
  }

  release(): void {
    while (this.held.length > 0 && !this.isBlocked()) this.held.shift()!()
  }

  clear(): void {
    this.held.length = 0
  }
}

/** One connection of append requests and their answers: ordered both ways, or broken. */
class SimStream implements AppendStream {
  private open = true
  /** The process at the other end, once the connection stands. */
  private receiver: SimProcess | null = null
  /** The connection is being reset: nothing arrives any more. */
  private resetting = false
  private givingUp = false
  private readonly requests: Lane
  private readonly answers: Lane

  constructor(
    private readonly network: SimNetwork,
    readonly from: SimProcess,
    private readonly groupId: string,
    private readonly fromPeer: PeerId,
    readonly toAddress: string,
    private readonly events: AppendStreamEvents,
  ) {
    const onHeld = (): void => this.armGiveUp()
    const source = from.address
    this.requests = new Lane(network, source, toAddress, () => network.isCut(source, toAddress) || this.isSilent(), onHeld)
    this.answers = new Lane(network, toAddress, source, () => network.isCut(toAddress, source), onHeld)
  }

  send(seq: number, request: AppendEntriesRequest): void {
    if (!this.open) return
    const { network } = this
    network.messages.sent++
    network.observer?.appendSent(this.from, this.toAddress, request)
    if (this.resetting) return
    if (network.random.chance(network.profile.resetRate)) {
      this.resetting = true
      return this.breakAfter('reset', this.reset())
    }
    const bytes = request.entries ? Buffer.from(request.entries.bytes) : null
    const first = request.entries?.firstIndex
    this.requests.send('stream:arrive', () => {
      if (!this.open || this.resetting) return
      const { process } = network.hosts.get(this.toAddress)!
      if (!process) return this.breakAfter('refused', Status.error(ErrorCode.EHOSTDOWN, `${this.toAddress} refused the connection`))
      if (this.receiver && this.receiver !== process) return this.breakAfter('reset', this.reset())
      this.receiver = process
      const entries = bytes ? EntryBatch.parse(first!, bytes, network.checksum).batch : null
      this.deliver(process, seq, Object.freeze({ ...request, entries }))
    })
  }

  close(): void {
    if (!this.open) return
    this.end()
    this.tellReceiver()
  }

  /** The sending process is gone; the other end notices when its machine says so. */
  senderDied(poweredOn: boolean): void {
    if (!this.open) return
    this.end()
    if (poweredOn) this.tellReceiver()
  }

  receiverDied(poweredOn: boolean): void {
    if (!this.open || !this.receiver || this.receiver.alive) return
    if (poweredOn && !this.network.isCut(this.toAddress, this.from.address)) this.breakAfter('reset', this.reset())
    else this.armGiveUp()
  }

  /** A link was mended or a machine answers again: what was held goes on its way. */
  resume(): void {
    if (!this.requests.holds && !this.answers.holds) return
    this.network.scheduler.schedule(0, null, 'stream:resent', () => {
      this.requests.release()
      this.answers.release()
    })
  }

  /** Nothing answers at the other end, not even a refusal. */
  private isSilent(): boolean {
    const host = this.network.hosts.get(this.toAddress)
    if (host?.process) return false
    return !host?.poweredOn || this.network.isCut(this.toAddress, this.from.address)
  }

  private deliver(process: SimProcess, seq: number, request: AppendEntriesRequest): void {
    const { network } = this
    network.scheduler.post(process, request.entries ? 'recv:append' : 'recv:heartbeat', () => {
      const answer = onlyOnce<AppendEntriesResponse>('appendEntries', (status, response) => {
        if (!this.open) return
        if (response) network.observer?.appendAnswered(process, this.from.address, request, response)
        const copy = response ? frozen(response) : undefined
        this.answers.send('stream:answered', () => {
          if (!this.open) return
          network.scheduler.post(this.from, 'stream:answer', () => {
            if (this.open) this.events.answer(seq, status, copy)
          })
        })
      })
      const handler = process.handlers.get(this.groupId)
      if (handler) handler.handleAppendEntries(request, answer)
      else answer(Status.error(ErrorCode.ENOENT, `no group ${this.groupId} here`))
    })
  }

  private armGiveUp(): void {
    if (this.givingUp) return
    this.givingUp = true
    const after = CONNECTION_TIMEOUT_MS * this.network.random.between(1, 2)
    this.network.scheduler.schedule(after, null, 'stream:give-up', () => {
      this.givingUp = false
      const lost = this.requests.holds || this.answers.holds || this.receiver?.alive === false
      if (lost) this.breakNow(Status.error(ErrorCode.ETIMEDOUT, 'connection timed out'))
    })
  }

  private reset(): Status {
    return Status.error(ErrorCode.ECONNRESET, `connection to ${this.toAddress} was reset`)
  }

  private breakAfter(why: string, status: Status): void {
    const { network } = this
    network.scheduler.schedule(network.latency(this.toAddress, this.from.address), null, `stream:${why}`, () => this.breakNow(status))
  }

  private breakNow(status: Status): void {
    if (!this.open) return
    this.end()
    this.tellReceiver()
    this.network.scheduler.post(this.from, 'stream:broken', () => this.events.broken(status))
  }

  private end(): void {
    this.open = false
    this.requests.clear()
    this.answers.clear()
    this.network.messages.streamsBroken++
    this.network.forget(this)
  }

  private tellReceiver(): void {
    const { receiver, network } = this
    if (!receiver?.alive) return
    const tell = (): void => {
      network.scheduler.post(receiver, 'recv:stream-broken', () => receiver.handlers.get(this.groupId)?.handleStreamBroken(this.fromPeer))
    }
    const wait = network.isCut(this.from.address, this.toAddress) ? CONNECTION_TIMEOUT_MS : 0
    network.scheduler.schedule(wait + network.latency(this.from.address, this.toAddress), null, 'stream:closed', tell)
  }
}

/** What a wire does to an object: the receiver shares nothing with the sender, and cannot change what it got. */
function frozen<T extends object>(message: T): T {
  const copy = { ...message } as Record<string, unknown>
  for (const [key, value] of Object.entries(copy)) {
    if (value instanceof Map) copy[key] = new Map(value)
    else if (Array.isArray(value)) copy[key] = Object.freeze([...value])
  }
  return Object.freeze(copy) as T
}

function onlyOnce<R>(what: string, answer: Answer<R>): Answer<R> {
  let answered = false
  return (status, response) => {
    if (answered) throw new Error(`${what} was answered twice`)
    answered = true
    answer(status, response)
  }
}

function callHandler<M extends PeerMethod>(handler: PeerHandler, method: M, request: PeerCalls[M]['request'], answer: Answer<PeerCalls[M]['response']>): void {
  const call = handler[HANDLERS[method]] as (request: PeerCalls[M]['request'], answer: Answer<PeerCalls[M]['response']>) => void
  call.call(handler, request, answer)
}

const HANDLERS = {
  hello: 'handleHello',
  preVote: 'handlePreVote',
  requestVote: 'handleRequestVote',
  timeoutNow: 'handleTimeoutNow',
  installSnapshot: 'handleInstallSnapshot',
  readIndex: 'handleReadIndex',
  release: 'handleRelease',
} as const satisfies Record<PeerMethod, keyof PeerHandler>
