import type { AppendStream, AppendStreamEvents } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { AppendEntriesRequest, AppendEntriesResponse } from '../raft/messages.js'
import type { BaiduStdClient } from './baidu-std-client.js'
import { plainStatus } from './braft-error.js'
import { decodeAppend, encodeAppend } from './braft-requests.js'
import { DelayedLink } from './delayed-link.js'
import type { StreamRoute } from './peer-codec.js'
import type { TimedCallContext } from './timed-call.js'

/** What waits goes out as one request, up to this. */
const REQUEST_BYTES_MAX = 1024 * 1024

interface Waiting {
  readonly seq: number
  readonly request: AppendEntriesRequest
}

/**
 * append_entries to a braft follower. It works on requests that arrive together in any order, and refuses whoever comes too
 * early: so only one with entries is under way at a time, and what waits meanwhile goes out together. Heartbeats and probes
 * wait for nothing.
 *
 * Events reach the engine through the executor; after `close` or `broken` there are none.
 */
export class BraftAppendStream implements AppendStream {
  private over = false
  private underWay = false
  private queue: Waiting[] = []
  private readonly outward = new DelayedLink()

  constructor(
    private readonly context: TimedCallContext,
    private readonly client: BaiduStdClient,
    private readonly route: StreamRoute,
    private readonly events: AppendStreamEvents,
  ) {}

  send(seq: number, request: AppendEntriesRequest): void {
    if (this.over) return
    if (!request.entries) return this.append([{ seq, request }])
    this.queue.push({ seq, request })
    this.pump()
  }

  close(): void {
    this.over = true
    this.queue = []
  }

  break(status: Status): void {
    if (this.over) return
    this.context.executor.post(() => {
      if (this.over) return
      this.close()
      this.events.broken(status)
    }, 'append stream broken')
  }

  private pump(): void {
    if (this.underWay || this.queue.length === 0) return
    this.underWay = true
    let bytes = 0
    let count = 0
    for (const { request } of this.queue) {
      bytes += request.entries!.byteLength
      if (count > 0 && bytes > REQUEST_BYTES_MAX) break
      count++
    }
    this.append(this.queue.splice(0, count))
  }

  private append(sent: readonly Waiting[]): void {
    const { faults } = this.context
    const { to } = this.route
    if (faults.isCutTo(to)) return
    if (faults.loses(to)) return this.break(Status.error(ErrorCode.ECONNRESET, `a request to ${to} was lost on purpose`))
    this.outward.pass(faults.delayTo(to), () => this.over || this.call(sent))
  }

  private call(sent: readonly Waiting[]): void {
    const { executor, faults } = this.context
    const { message, attachment } = encodeAppend(sent.map(({ request }) => request))
    this.client.call({ service: 'braft.RaftService', method: 'append_entries', message, attachment }, (status, answer) => {
      if (this.over || faults.isCutFrom(this.route.to)) return
      const outcome = status.ok ? decoded(answer!.message) : plainStatus(status)
      executor.post(() => this.answered(sent, outcome), 'append answer')
    })
  }

  private answered(sent: readonly Waiting[], outcome: AppendEntriesResponse | Status): void {
    if (this.over) return
    if (sent[0]!.request.entries) this.underWay = false
    for (const { seq } of sent) {
      if (this.over) return
      if (outcome instanceof Status) this.events.answer(seq, outcome)
      else this.events.answer(seq, Status.OK, outcome)
    }
    this.pump()
  }
}

function decoded(bytes: Buffer): AppendEntriesResponse | Status {
  try {
    return decodeAppend(bytes)
  } catch (error) {
    return Status.error(ErrorCode.EREQUEST, `unreadable answer: ${(error as Error).message}`)
  }
}
