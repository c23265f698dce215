import { ErrorCode, Status } from '../raft/errors.js'
import type { BaiduStdClient } from './baidu-std-client.js'
import { Peer, PING } from './peer-definition.js'

export interface PingerOptions {
  /** How often a connection in use is pinged, and how long an answer may take. */
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly isInUse: () => boolean
}

/** Finds out that a connection lost its other end without a word, and hangs it up. Any answer will do: braft's is an error. */
export class BaiduStdPinger {
  private timer: NodeJS.Timeout | null = null

  constructor(
    private readonly client: BaiduStdClient,
    private readonly options: PingerOptions,
  ) {}

  /** Until `stop`. It keeps no process alive. */
  start(): void {
    this.timer ??= setInterval(() => this.ping(), this.options.intervalMs).unref()
  }

  stop(): void {
    if (this.timer) clearInterval(this.timer)
    this.timer = null
  }

  private ping(): void {
    if (!this.client.isConnected || !this.options.isInUse()) return
    const { timeoutMs } = this.options
    const late = Status.error(ErrorCode.EHOSTDOWN, `no answer to a ping within ${timeoutMs} ms`)
    let answered = false
    const timer = setTimeout(() => {
      // After a turn in which this process may have stood still, what has arrived meanwhile is read first.
      setImmediate(() => answered || this.client.hangUp(late))
    }, timeoutMs).unref()
    this.client.call({ service: Peer.name, method: PING, message: NO_BYTES }, () => {
      answered = true
      clearTimeout(timer)
    })
  }
}

const NO_BYTES = Buffer.alloc(0)
