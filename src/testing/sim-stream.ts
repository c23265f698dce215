import type { AppendStream, AppendStreamEvents } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { EntryBatch } from '../raft/log-entry.js'
import type { AppendEntriesRequest, AppendEntriesResponse } from '../raft/messages.js'
import type { PeerId } from '../raft/peer-id.js'
import type { SimNetwork } from './sim-network.js'
import type { SimProcess } from './sim-process.js'
import { frozen, onlyOnce } from './wire.js'

/** A retransmission after loss comes this much later (a TCP timeout). */
const RETRANSMIT_MS = 200
/** A connection through a cut link gives up after this, and up to twice this. */
const CONNECTION_TIMEOUT_MS = 4000

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
    this.last = Math.max(
      this.last,
      scheduler.now + this.network.latency(this.from, this.to) + (lost ? RETRANSMIT_MS * random.between(0.5, 2) : 0),
    )
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
export class SimStream implements AppendStream {
  private open = true
  /** The process at the other end, once the connection stands. */
  private receiver: SimProcess | null = null
  /** The connection is being reset: nothing arrives any more. */
  private resetting = false
  private givingUp = false
  private readonly requests: Lane
  private readonly answers: Lane
  readonly toAddress: string

  constructor(
    private readonly network: SimNetwork,
    readonly from: SimProcess,
    private readonly groupId: string,
    private readonly fromPeer: PeerId,
    private readonly to: PeerId,
    private readonly events: AppendStreamEvents,
  ) {
    const onHeld = (): void => this.armGiveUp()
    const source = from.address
    const toAddress = to.address
    this.toAddress = toAddress
    this.requests = new Lane(network, source, toAddress, () => network.isCut(source, toAddress) || this.isSilent(), onHeld)
    this.answers = new Lane(network, toAddress, source, () => network.isCut(toAddress, source), onHeld)
  }

  send(seq: number, request: AppendEntriesRequest): void {
    if (!this.open) return
    const { network } = this
    network.messages.sent++
    network.observers.get(this.groupId)?.appendSent(this.from, this.toAddress, request)
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
        if (status.ok !== (response !== undefined))
          throw new Error(`an append was answered ${status} ${response ? 'with' : 'without'} a response`)
        if (response) network.observers.get(this.groupId)?.appendAnswered(process, this.from.address, request, response)
        const copy = response ? frozen(response) : undefined
        this.answers.send('stream:answered', () => {
          if (!this.open) return
          network.scheduler.post(this.from, 'stream:answer', () => {
            if (this.open) this.events.answer(seq, status, copy)
          })
        })
      })
      const node = process.nodes.get(this.groupId, request.peerId)
      if (node) node.handler.handleAppendEntries(request, answer)
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
      network.scheduler.post(receiver, 'recv:stream-broken', () =>
        receiver.nodes.get(this.groupId, this.to)?.handler.handleStreamBroken(this.fromPeer),
      )
    }
    const wait = network.isCut(this.from.address, this.toAddress) ? CONNECTION_TIMEOUT_MS : 0
    network.scheduler.schedule(wait + network.latency(this.from.address, this.toAddress), null, 'stream:closed', tell)
  }
}
