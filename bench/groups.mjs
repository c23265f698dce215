// Durable puts that are spread over many groups of three processes: what a group costs that has work to do.
//   node bench/groups.mjs [--groups 1,100,1000] [--clients 64,256] [--value-bytes 16] [--seconds 10] [--rounds 3] [--warmup 10] [--size 3]
//                         [--dir .] [--json FILE] [--profile DIR]
// Every call is for the next group, at the member that leads it. The groups are measured one number after the other, fewest first: those that
// were there stay.
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { control } from './lib/control.mjs'
import { raftctlGroup } from './lib/groups.mjs'
import { closedLoop, PUT, putMessage } from './lib/kv-load.mjs'
import { until, workDirectory } from './lib/members.mjs'
import { Report } from './lib/report.mjs'
import { inTurns } from './lib/turns.mjs'

const CREATED_AT_ONCE = 24
const LED_MS_MAX = 300_000
const WARMUP_CLIENTS = 64
const { values } = parseArgs({
  options: {
    groups: { type: 'string', default: '1,100,1000' },
    clients: { type: 'string', default: '64,256' },
    'value-bytes': { type: 'string', default: '16' },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    warmup: { type: 'string', default: '10' },
    size: { type: 'string', default: '3' },
    dir: { type: 'string', default: '.' },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
})
const [seconds, rounds, warmup, size, bytes] = [values.seconds, values.rounds, values.warmup, values.size, values['value-bytes']].map(
  Number,
)
const [counts, clientCounts] = [values.groups, values.clients].map((numbers) => numbers.split(',').map(Number))
counts.sort((a, b) => a - b)
const report = new Report('puts a second, over many groups', { seconds, rounds, warmup, size, bytes })
const cluster = await raftctlGroup({ size, directory: workDirectory(values.dir), profile: values.profile })
await cluster.leader()
const founders = cluster.addresses.map((address) => `${address}:0:0`)
const message = putMessage(Buffer.from('bench'), Buffer.alloc(bytes, 'v'))
const names = []

for (const count of counts) {
  await createUpTo(count)
  const leaders = await until(`${count} groups are led`, cluster.members, () => leadersOf(names), LED_MS_MAX)
  const next = (i) => [PUT, message, leaders[i % count], names[i % count]]
  if (warmup > 0) await closedLoop({ address: cluster.addresses, clients: WARMUP_CLIENTS, seconds: warmup, next })
  for (const clients of clientCounts) {
    const { raftctl } = await inTurns({ raftctl: () => measure(clients, next) }, { rounds })
    report.row({
      groups: count,
      clients,
      'puts/s': raftctl.perSecond,
      'p50 ms': raftctl.p50Ms,
      'p99 ms': raftctl.p99Ms,
      'cpu us/op': raftctl.cpuUs,
      'client cpu us/op': raftctl.clientCpuUs,
    })
    console.error(`${count} groups  ${clients} clients  ${Math.round(raftctl.perSecond)}/s`)
  }
}
report.print(values.json)
await cluster.end()

async function measure(clients, next) {
  const [before, startedAt] = [cluster.cpuMs, performance.now()]
  const figures = await closedLoop({ address: cluster.addresses, clients, seconds, next })
  const tookS = (performance.now() - startedAt) / 1000
  return { ...figures, cpuUs: before === null ? null : ((cluster.cpuMs - before) * 1000) / (figures.perSecond * tookS) }
}

async function createUpTo(count) {
  const missing = Array.from({ length: count - names.length }, (_, i) => `g${names.length + i}`)
  names.push(...missing)
  const queue = missing.map((group) => ({ group, machine: 'kv', uid: randomBytes(16).toString('hex'), founders }))
  const work = async () => {
    for (let request = queue.shift(); request; request = queue.shift())
      await Promise.all(cluster.addresses.map((address) => control(address, 'CreateGroup', request)))
  }
  await Promise.all(Array.from({ length: CREATED_AT_ONCE }, work))
}

/** Who leads each of the groups; null when one has no leader whose first entry is committed. */
async function leadersOf(wanted) {
  const leaders = new Map()
  for (const address of cluster.addresses) {
    const { groups } = await control(address, 'ListGroups')
    for (const { group, state, commit_index: committed } of groups)
      if (state === 'LEADER' && Number(committed) > 0) leaders.set(group, address)
  }
  return wanted.every((name) => leaders.has(name)) ? wanted.map((name) => leaders.get(name)) : null
}
