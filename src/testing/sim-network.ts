import type { AppendStream, AppendStreamEvents, Call, Checksum, DialResult, Transport } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Answer, AppendEntriesRequest, AppendEntriesResponse, PeerCalls, PeerHandler, PeerMethod } from '../raft/messages.js'
import type { PeerId } from '../raft/peer-id.js'
import type { Scheduler } from './scheduler.js'
import type { SimProcess } from './sim-process.js'
import type { SimRandom } from './sim-random.js'
import { SimStream } from './sim-stream.js'
import { frozen, onlyOnce } from './wire.js'

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
  /** Chance that a piece of a snapshot's file arrives with a wrong byte. */
  corruptRate: number
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
  /** By group. */
  readonly observers = new Map<string, NetworkObserver>()
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

  /** Nothing passes from `from` to `to` (addresses) now. */
  isCut(from: string, to: string): boolean {
    return this.cuts.size > 0 && this.cuts.has(`${from}>${to}`)
  }

  /** Nothing passes from `from` to `to` until it is mended. */
  cutOneWay(from: string, to: string): void {
    if (from !== to) this.cuts.add(`${from}>${to}`)
  }

  /** What passes from `from` to `to` passes again; what was held arrives. */
  mend(from: string, to: string): void {
    if (this.cuts.delete(`${from}>${to}`)) for (const stream of [...this.streams]) stream.resume()
  }

  /** Ends every cut and clog. */
  mendAll(): void {
    this.cuts.clear()
    this.cloggedUntil.clear()
    for (const stream of [...this.streams]) stream.resume()
  }

  /** What passes from `from` to `to` arrives only after this long. */
  clog(from: string, to: string, forMs: number): void {
    this.cloggedUntil.set(`${from}>${to}`, this.scheduler.now + forMs)
  }

  /** How many milliseconds the next message takes; drawn at each call. */
  latency(from: string, to: string): number {
    const { delayMinMs, delayMeanMs } = this.profile
    const delay = delayMinMs + this.random.exponential(Math.max(0.001, delayMeanMs - delayMinMs))
    if (this.cloggedUntil.size === 0) return delay
    const clogged = this.cloggedUntil.get(`${from}>${to}`)
    return clogged !== undefined && clogged > this.scheduler.now ? clogged - this.scheduler.now + delay : delay
  }

  /** That stream is closed. */
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
    const timeout = source.clock.schedule(
      timeoutMs,
      () => finish(Status.error(ErrorCode.ETIMEDOUT, `no answer to ${method} within ${timeoutMs} ms`)),
      `timeout:${method}`,
    )
    const from = source.address
    const target = to.address
    this.messages.sent++
    this.observers.get(request.groupId)?.requestSent(source, target, method, request)
    const copy = frozen(request)
    const arrive = (): void => {
      if (this.isCut(from, target)) return void this.messages.lost++
      const host = this.hosts.get(target)
      if (!host?.process) {
        if (host?.poweredOn && !this.isCut(target, from)) {
          scheduler.schedule(this.latency(target, from), source, `refused:${method}`, () =>
            finish(Status.error(ErrorCode.EHOSTDOWN, `${target} refused the connection`)),
          )
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
      if (status.ok !== (response !== undefined))
        throw new Error(`${method} was answered ${status} ${response ? 'with' : 'without'} a response`)
      if (response) this.observers.get(request.groupId)?.responseSent(process, source.address, method, request, response)
      const copy = response ? frozen(response) : undefined
      if (copy && 'data' in copy && random.chance(profile.corruptRate)) spoil(copy.data, random)
      if (random.chance(profile.lossRate)) return void this.messages.lost++
      scheduler.schedule(this.latency(process.address, source.address), source, `answer:${method}`, () => {
        if (!this.isCut(process.address, source.address)) finish(status, copy)
      })
    }
    scheduler.post(process, `recv:${method}`, () => {
      const node = process.nodes.get(request.groupId, request.peerId)
      if (!node) answer(Status.error(ErrorCode.ENOENT, `no group ${request.groupId} here`))
      else callHandler(node.handler, method, request, onlyOnce(method, answer))
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
    const stream = new SimStream(this, source, groupId, from, to, events)
    this.streams.add(stream)
    return stream
  }
}

function spoil(bytes: Buffer, random: SimRandom): void {
  if (bytes.length > 0) bytes[random.below(bytes.length)]! ^= 1 + random.below(255)
}

function callHandler<M extends PeerMethod>(
  handler: PeerHandler,
  method: M,
  request: PeerCalls[M]['request'],
  answer: Answer<PeerCalls[M]['response']>,
): void {
  const call = handler[HANDLERS[method]] as (request: PeerCalls[M]['request'], answer: Answer<PeerCalls[M]['response']>) => void
  call.call(handler, request, answer)
}

const HANDLERS = {
  hello: 'handleHello',
  preVote: 'handlePreVote',
  requestVote: 'handleRequestVote',
  timeoutNow: 'handleTimeoutNow',
  installSnapshot: 'handleInstallSnapshot',
  getFile: 'handleGetFile',
  settle: 'handleSettle',
  readIndex: 'handleReadIndex',
  release: 'handleRelease',
} as const satisfies Record<PeerMethod, keyof PeerHandler>
