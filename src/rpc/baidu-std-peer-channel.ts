import { Status } from '../raft/errors.js'
import { BaiduStdClient, type BaiduStdDone } from './baidu-std-client.js'
import { BaiduStdPinger } from './baidu-std-pinger.js'
import { plainStatus } from './braft-error.js'
import type { CallHeaders, ChannelCall, ChannelEvents, ChannelOptions, ChannelStream, PeerChannel } from './peer-channel.js'
import { GRPC_PREFIX_BYTES } from './peer-codec.js'
import { Peer, StreamMethod } from './peer-definition.js'

const NO_BYTES = Buffer.alloc(0)

/**
 * One baidu_std connection to one peer; all calls and streams to that peer share it.
 *
 * baidu_std has calls only. So a stream is opened by a call, whose log id names it from then on; each of its frames is a call
 * of its own, with the entries behind the head and the acknowledgement as the answer. One connection keeps their order. A
 * stream that the peer ended answers EEOF.
 */
export class BaiduStdPeerChannel implements PeerChannel {
  private readonly client: BaiduStdClient
  private readonly streams = new Set<AppendStreamCalls>()
  private lastStream = 0n
  private readonly pinger: BaiduStdPinger

  constructor({ host, port, connectTimeoutMs, lookup, pingIntervalMs: intervalMs, pingTimeoutMs: timeoutMs }: ChannelOptions) {
    this.client = new BaiduStdClient(host, port, { connectTimeoutMs, lookup, onDisconnected: (status) => this.lost(status) })
    const isInUse = () => this.client.pendingCalls > 0 || this.streams.size > 0
    this.pinger = new BaiduStdPinger(this.client, { intervalMs, timeoutMs, isInUse })
  }

  call(method: string, request: Buffer, { fields }: CallHeaders, events: ChannelEvents): ChannelCall {
    this.pinger.start()
    const userFields = new Map(Object.entries(fields))
    return this.client.call({ service: Peer.name, method, message: request, userFields }, (status, response) => {
      if (!response) return events.ended(plainStatus(status))
      events.opened((key) => response.userFields.get(key))
      events.message(response.message)
      events.ended(Status.OK)
    })
  }

  openAppend(fields: Readonly<Record<string, string>>, events: ChannelEvents): ChannelStream {
    this.pinger.start()
    const stream = new AppendStreamCalls(this.client, ++this.lastStream, events, (gone) => this.streams.delete(gone))
    this.streams.add(stream)
    stream.open(new Map(Object.entries(fields)))
    return stream
  }

  resetBackoff(): void {
    this.client.resetBackoff()
  }

  lookAgain(): void {
    this.client.lookAgain()
  }

  close(status: Status): void {
    this.client.hangUp(status)
    this.lost(status)
  }

  private lost(status: Status): void {
    this.pinger.stop()
    for (const stream of [...this.streams]) stream.finish(plainStatus(status))
  }
}

class AppendStreamCalls implements ChannelStream {
  private finished = false

  constructor(
    private readonly client: BaiduStdClient,
    private readonly id: bigint,
    private readonly events: ChannelEvents,
    private readonly gone: (stream: AppendStreamCalls) => void,
  ) {}

  get bufferedBytes(): number {
    return this.client.unsentBytes
  }

  open(userFields: ReadonlyMap<string, string>): void {
    this.call(StreamMethod.open, { userFields }, (status, response) => {
      if (this.finished) return
      if (response) this.events.opened((key) => response.userFields.get(key))
      else this.finish(plainStatus(status))
    })
  }

  send(head: Buffer, entries: Buffer | null): void {
    if (this.finished) return
    const message = head.subarray(GRPC_PREFIX_BYTES)
    this.call(StreamMethod.frame, { message, messageRest: entries ?? undefined }, (status, response) => {
      if (this.finished) return
      if (response) this.events.message(response.message)
      else this.finish(plainStatus(status))
    })
  }

  cancel(): void {
    if (this.finished) return
    this.over()
    if (this.client.isConnected) this.call(StreamMethod.close, {}, () => {})
  }

  finish(status: Status): void {
    if (this.finished) return
    this.over()
    this.events.ended(status)
  }

  private over(): void {
    this.finished = true
    this.gone(this)
  }

  private call(
    method: string,
    what: { message?: Buffer; messageRest?: Buffer | undefined; userFields?: ReadonlyMap<string, string> },
    done: BaiduStdDone,
  ): void {
    const { message = NO_BYTES, messageRest, userFields } = what
    this.client.call({ service: Peer.name, method, message, messageRest, logId: this.id, userFields }, done)
  }
}
