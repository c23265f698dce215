// Durable puts and linearizable reads: etcd against raftctl, one and the same client for both, which is asked for its own limit too.
//   node bench/kv.mjs --etcd PATH [--work put,get] [--clients 1,16,64,256,1024] [--value-bytes 16] [--size 3] [--reader leader]
//                     [--seconds 10] [--rounds 5] [--dir .] [--json FILE] [--profile DIR]
// --reader follower reads at a member that does not lead. The work "pipeline" is puts: etcd's a call each, raftctl's on one stream with
// as many in flight.
import { parseArgs } from 'node:util'
import { etcdGroup, raftctlGroup } from './lib/groups.mjs'
import { ceiling, closedLoop, PUT, putMessage, RANGE, rangeMessage } from './lib/kv-load.mjs'
import { workDirectory } from './lib/members.mjs'
import { pipelinedPuts } from './lib/pipeline-load.mjs'
import { Report, ratio } from './lib/report.mjs'
import { inTurns } from './lib/turns.mjs'

const KEYS = 10_000
/** Of gRPC, before a message. */
const PREFIX_BYTES = 5
const { values } = parseArgs({
  options: {
    etcd: { type: 'string' },
    work: { type: 'string', default: 'put,get' },
    clients: { type: 'string', default: '1,16,64,256,1024' },
    'value-bytes': { type: 'string', default: '16' },
    size: { type: 'string', default: '3' },
    reader: { type: 'string', default: 'leader' },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '5' },
    dir: { type: 'string', default: '.' },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
})
const [seconds, rounds, size] = [values.seconds, values.rounds, values.size].map(Number)
const directory = workDirectory(values.dir)
const report = new Report('key-value calls a second', { seconds, rounds, size, reader: values.reader })
// Without etcd raftctl is measured alone.
const groups = {
  ...(values.etcd === undefined ? {} : { etcd: await etcdGroup({ size, directory, bin: values.etcd }) }),
  raftctl: await raftctlGroup({ size, directory, profile: values.profile }),
}
const keys = Array.from({ length: KEYS }, (_, i) => Buffer.from(`bench/${String(i).padStart(10, '0')}`))

for (const valueBytes of values['value-bytes'].split(',').map(Number)) {
  const puts = keys.map((key) => [PUT, putMessage(key, Buffer.alloc(valueBytes, 'v'))])
  const messages = puts.map(([, message]) => message.subarray(PREFIX_BYTES))
  const calls = { put: puts, get: keys.map((key) => [RANGE, rangeMessage(key)]) }
  for (const work of values.work.split(',')) {
    if (work === 'get') for (const group of Object.values(groups)) await fill(group, puts)
    for (const clients of values.clients.split(',').map(Number)) {
      const next = (i) => (calls[work] ?? puts)[i % KEYS]
      const sides = Object.fromEntries(
        Object.entries(groups).map(([name, group]) => [name, () => measure(group, { work, clients, next, messages })]),
      )
      const { etcd = {}, raftctl } = await inTurns(sides, {
        rounds,
        onMeasured: (name, { perSecond, p50Ms, p99Ms }) =>
          console.error(
            `${work} ${valueBytes} B  ${clients} clients  ${name}  ${Math.round(perSecond)}/s  p50 ${p50Ms.toFixed(2)} p99 ${p99Ms.toFixed(2)} ms`,
          ),
      })
      const most = await ceiling({ clients, seconds: Math.min(seconds, 3), next })
      report.row({
        work,
        bytes: valueBytes,
        clients,
        etcd: etcd.perSecond,
        raftctl: raftctl.perSecond,
        ratio: ratio(raftctl.perSecond, etcd.perSecond ?? null),
        'etcd p50': etcd.p50Ms,
        'raftctl p50': raftctl.p50Ms,
        'etcd p99': etcd.p99Ms,
        'raftctl p99': raftctl.p99Ms,
        'etcd cpu us/op': etcd.cpuUs,
        'raftctl cpu us/op': raftctl.cpuUs,
        'client cpu us/op': raftctl.clientCpuUs,
        'echo limit': most.perSecond,
      })
    }
  }
}
report.print(values.json)
await Promise.all(Object.values(groups).map((group) => group.end()))

async function measure(group, { work, clients, next, messages }) {
  const leader = await group.leader()
  const address = work === 'get' && values.reader === 'follower' ? group.addresses.find((other) => other !== leader) : leader
  const before = group.cpuMs
  const startedAt = performance.now()
  const figures =
    work === 'pipeline' && group.name === 'raftctl'
      ? await pipelinedPuts({ address, inFlight: clients, seconds, puts: messages })
      : await closedLoop({ address, clients, seconds, next })
  const tookS = (performance.now() - startedAt) / 1000
  // Of the warm-up too: by the rate that was measured.
  return { ...figures, cpuUs: before === null ? null : ((group.cpuMs - before) * 1000) / (figures.perSecond * tookS) }
}

/** Every key once, so that reads find something. */
async function fill(group, puts) {
  await closedLoop({ address: await group.leader(), clients: 64, operations: KEYS, next: (i) => puts[i] })
}
