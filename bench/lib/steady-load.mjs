// So many calls a second, whether they are answered or not: who is late does not slow down who asks. Each is timed from when it was due.
import { LeanGrpc } from './lean-grpc.mjs'
import { percentile } from './turns.mjs'

const TICK_MS = 1
const RECONNECT_MS = 100

export class SteadyLoad {
  dueAt = []
  latencies = []
  failedAt = []
  isOver = false
  flying = 0

  /** `next(i)` is the i-th call as [path, message]. */
  constructor({ address, perSecond, next }) {
    this.address = address
    this.everyMs = 1000 / perSecond
    this.next = next
    this.connect()
    this.startedAt = performance.now()
    this.sent = 0
    this.tick()
  }

  connect() {
    this.connection = new LeanGrpc(this.address)
    this.connectedAt = performance.now()
  }

  tick() {
    if (this.isOver) return
    const now = performance.now()
    if (this.connection.failure && now > this.connectedAt + RECONNECT_MS) this.connect()
    for (; this.startedAt + this.sent * this.everyMs <= now; this.sent++) this.call(this.startedAt + this.sent * this.everyMs)
    setTimeout(() => this.tick(), TICK_MS)
  }

  call(dueAt) {
    const [path, message] = this.next(this.sent)
    this.flying++
    this.connection.call(path, message, (error) => {
      this.flying--
      if (error) this.failedAt.push(dueAt)
      else {
        this.dueAt.push(dueAt)
        this.latencies.push(performance.now() - dueAt)
      }
      if (this.isOver && this.flying === 0) this.onEnd?.()
    })
  }

  /** Of the calls that were due between two moments; those that are not answered yet are waited for. */
  async between(from, to) {
    const isLate = () => this.flying > 0 && this.dueAt.length + this.failedAt.length < (to - this.startedAt) / this.everyMs
    while (isLate()) await new Promise((done) => setTimeout(done, 10))
    const within = this.latencies.filter((_, i) => this.dueAt[i] >= from && this.dueAt[i] < to)
    return {
      count: within.length,
      failed: this.failedAt.filter((at) => at >= from && at < to).length,
      p50Ms: percentile(within, 0.5),
      p99Ms: percentile(within, 0.99),
      maxMs: within.reduce((most, latency) => Math.max(most, latency), 0),
    }
  }

  async end() {
    this.isOver = true
    if (this.flying > 0) await new Promise((done) => (this.onEnd = done))
    this.connection.close()
  }
}
