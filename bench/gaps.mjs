// How long nothing is written when a leader is lost, or hands over: raftctl, three members and more on one machine.
//   node bench/gaps.mjs [--trials 50] [--warmup 5] [--work failover,transfer] [--election-timeout 1000] [--size 3] [--dir .] [--json FILE]
// failover: from kill -9 of the leader to the first acknowledged write. transfer: the longest time between two acknowledged writes.
// The first --warmup trials do not count: in those of hand-overs the members compile what they run. Who was killed starts as a new process.
import { parseArgs } from 'node:util'
import { leaderAt, transfer, Writers } from './lib/gaps.mjs'
import { raftctlGroup } from './lib/groups.mjs'
import { until, workDirectory } from './lib/members.mjs'
import { Report, ratio } from './lib/report.mjs'
import { percentile } from './lib/turns.mjs'

const { values } = parseArgs({
  options: {
    trials: { type: 'string', default: '50' },
    warmup: { type: 'string', default: '5' },
    work: { type: 'string', default: 'failover,transfer' },
    'election-timeout': { type: 'string', default: '1000' },
    size: { type: 'string', default: '3' },
    dir: { type: 'string', default: '.' },
    json: { type: 'string' },
  },
})
const [trials, warmup, electionTimeoutMs, size] = [values.trials, values.warmup, values['election-timeout'], values.size].map(Number)
const report = new Report('gaps in what is acknowledged', { trials, warmup, electionTimeoutMs, size })
const group = await raftctlGroup({ size, directory: workDirectory(values.dir), electionTimeoutMs })
const trial = { failover, transfer: handOver }

for (const work of values.work.split(',')) {
  const gaps = []
  for (let i = 1 - warmup; i <= trials; i++) {
    const gap = await trial[work]()
    if (i > 0) gaps.push(gap)
    console.error(`${work} ${i > 0 ? `${i}/${trials}` : 'warming up'}  ${gap.toFixed(1)} ms`)
  }
  const [p50, p99] = [percentile(gaps, 0.5), percentile(gaps, 0.99)]
  report.row({
    work,
    trials,
    'p50 ms': p50,
    'p99 ms': p99,
    'longest ms': Math.max(...gaps),
    'p99 in election timeouts': ratio(p99, electionTimeoutMs),
  })
}
report.print(values.json)
await group.end()

/** Everybody follows one leader, who is there to be lost. */
async function settled() {
  return until('all follow one leader', group.members, async () => {
    const known = await Promise.all(group.addresses.map((address) => leaderAt(address)))
    const [leader] = known
    return leader && known.every((each) => each === leader) ? group.addresses.find((address) => leader.startsWith(`${address}:`)) : null
  })
}

async function failover() {
  const leader = await settled()
  const at = group.addresses.indexOf(leader)
  const writers = new Writers(group.addresses.filter((address) => address !== leader))
  await writers.nextAck()
  const killedAt = performance.now()
  await group.members[at].end('SIGKILL')
  // What the killed one had acknowledged may still arrive: only what comes after both are heard of its death counts.
  const ackedAt = await firstAckUnderAnother(writers, leader)
  writers.end()
  group.restart(at)
  return ackedAt - killedAt
}

async function firstAckUnderAnother(writers, former) {
  for (;;) {
    const ackedAt = await writers.nextAck()
    const others = group.addresses.filter((address) => address !== former)
    const known = await Promise.all(others.map((address) => leaderAt(address)))
    if (known.some((leader) => leader && !leader.startsWith(`${former}:`))) return ackedAt
  }
}

async function handOver() {
  const leader = await settled()
  const writers = new Writers(group.addresses)
  await writers.nextAck()
  writers.longestMs = 0
  if (!(await transfer(leader))) throw new Error(`${leader} did not hand over`)
  for (let more = 0; more < 50; more++) await writers.nextAck()
  writers.end()
  return writers.longestMs
}
