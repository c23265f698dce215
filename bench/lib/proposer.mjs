// A member whose program proposes in its own process while it leads: what a user of the library gets, without a client.
//   proposer.mjs HOST:PORT HOST:PORT,… DIR, as a child of bench/proposals.mjs
import { Configuration, PeerId, RaftServer, StateMachine, Status } from '../../dist/src/index.js'

const [self, members, directory] = process.argv.slice(2)
const MEASURED_MAX = 200_000

class Sink extends StateMachine {
  onApply(iterator) {
    for (; iterator.valid(); iterator.next()) iterator.done()?.run(Status.OK)
  }
}

const server = new RaftServer({ peerId: PeerId.parse(self), clusterId: '5f0c1d6b3e7a4c289b1d0e6f7a8c9d21' })
await server.listen()
const { node } = await server.start({
  groupId: 'bench',
  fsm: new Sink(),
  initialConf: Configuration.parse(members),
  directory,
  electionTimeoutMs: 1000,
})

/** One of the proposals in flight: proposes again when it is applied. */
class Proposal {
  startedAt = 0

  constructor(run, data) {
    this.load = run
    this.task = { data, done: this }
  }

  propose() {
    this.startedAt = performance.now()
    node.apply(this.task)
  }

  run(status) {
    this.load.ended(this, status)
  }
}

class Load {
  count = 0
  latencies = null
  failure = null
  over = false
  flying = 0

  constructor(inFlight, bytes) {
    const data = Buffer.alloc(bytes, 'x')
    this.proposals = Array.from({ length: inFlight }, () => new Proposal(this, data))
  }

  start() {
    this.flying = this.proposals.length
    this.ended_ = new Promise((done) => (this.onEnd = done))
    server.executor.post(() => {
      for (const proposal of this.proposals) proposal.propose()
    }, 'bench')
  }

  ended(proposal, status) {
    if (status.ok) {
      this.count++
      if (this.latencies && this.latencies.length < MEASURED_MAX) this.latencies.push(performance.now() - proposal.startedAt)
    } else this.failure ??= status.toString()
    if (!this.over && !this.failure) return proposal.propose()
    if (--this.flying === 0) this.onEnd()
  }

  async end() {
    this.over = true
    await this.ended_
    if (this.failure) throw new Error(this.failure)
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms))

async function measure({ inFlight, bytes, warmupSeconds, seconds }) {
  const load = new Load(inFlight, bytes)
  load.start()
  await pause(warmupSeconds * 1000)
  load.latencies = []
  const [before, startedAt] = [load.count, performance.now()]
  await pause(seconds * 1000)
  const [count, tookMs] = [load.count - before, performance.now() - startedAt]
  const latencies = load.latencies.sort((a, b) => a - b)
  await load.end()
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))] ?? null
  return { perSecond: count / (tookMs / 1000), p50Ms: at(0.5), p99Ms: at(0.99) }
}

process.on('message', (wanted) => {
  if (wanted === 'leads?') return process.send({ leads: node.isLeader() })
  if (wanted === 'end') return void server.close().then(() => process.exit(0))
  measure(wanted).then(
    (figures) => process.send({ figures }),
    (error) => process.send({ problem: error.message }),
  )
})
process.send({ ready: true })
