// Durable puts and linearizable reads: etcd against raftctl, one and the same client for both, which is asked for its own limit too.
//   node bench/kv.mjs --etcd PATH [--work put,get] [--clients 1,16,64,256,1024] [--value-bytes 16] [--size 3] [--reader leader]
//                     [--seconds 10] [--rounds 5] [--warmup 10] [--dir .] [--json FILE] [--profile DIR]
// What is separated by commas is measured in turns: 16 to 65536 bytes, 3,5,7 members, readers leader,follower,lease. A follower is a member
// that does not lead; lease reads the leader by its clock, where etcd, which has no such reads, is asked as ever. The work "mixed" is
// a put for every three reads, "pipeline" is puts: etcd's a call each, raftctl's on one stream with as many in flight. Both sides of each
// work take calls for --warmup seconds first: what is measured is a server that has run for a while, not its compiler.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { etcdGroup, raftctlGroup } from './lib/groups.mjs'
import { ceiling, closedLoop, compact, PUT, putMessage, RANGE, rangeMessage } from './lib/kv-load.mjs'
import { workDirectory } from './lib/members.mjs'
import { pipelinedPuts } from './lib/pipeline-load.mjs'
import { Report, ratio } from './lib/report.mjs'
import { inTurns } from './lib/turns.mjs'

const READS = new Set(['get', 'mixed'])
const KEYS_MAX = 10_000
const WARMUP_CLIENTS = 64
/** Of all values of one size: what the client and every member keep at the least. */
const STATE_BYTES_MAX = 64 * 1024 * 1024
/** Of gRPC, before a message. */
const PREFIX_BYTES = 5
const BY_LEASE = { 'raftctl-read': 'lease' }
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
    warmup: { type: 'string', default: '10' },
    dir: { type: 'string', default: '.' },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
})
const [seconds, rounds, warmup] = [values.seconds, values.rounds, values.warmup].map(Number)
const [works, readers] = [values.work, values.reader].map((words) => words.split(','))
const [sizes, clientCounts, valueSizes] = [values.size, values.clients, values['value-bytes']].map((numbers) =>
  numbers.split(',').map(Number),
)
const unknown = readers.find((reader) => !['leader', 'follower', 'lease'].includes(reader))
if (unknown !== undefined) {
  console.error(`--reader ${unknown}: leader, follower or lease`)
  process.exit(2)
}
const directory = workDirectory(values.dir)
const report = new Report('key-value calls a second', { seconds, rounds, warmup })
for (const size of sizes) await measureSize(size)
report.print(values.json)

/** Groups of so many members, with everything that is asked of them. */
async function measureSize(size) {
  const args = readers.includes('lease') ? ['--leader-lease'] : []
  const home = join(directory, `of-${size}`)
  mkdirSync(home)
  // Without etcd raftctl is measured alone.
  const groups = {
    ...(values.etcd === undefined ? {} : { etcd: await etcdGroup({ size, directory: home, bin: values.etcd }) }),
    raftctl: await raftctlGroup({ size, directory: home, args, profile: values.profile }),
  }
  for (const bytes of valueSizes) {
    const keyCount = Math.min(KEYS_MAX, Math.ceil(STATE_BYTES_MAX / bytes))
    const keys = Array.from({ length: keyCount }, (_, i) => Buffer.from(`bench/${String(i).padStart(10, '0')}`))
    const value = Buffer.alloc(bytes, 'v')
    const puts = keys.map((key) => [PUT, putMessage(key, value)])
    for (const work of works) {
      if (READS.has(work)) for (const group of Object.values(groups)) await fill(group, puts)
      const gets = keys.map((key) => [RANGE, rangeMessage(key)])
      const calls = work === 'get' ? gets : work === 'mixed' ? gets.map((get, i) => (i % 4 === 0 ? puts[i] : get)) : puts
      for (const reader of work === 'get' ? readers : ['-']) {
        const load = { work, size, bytes, reader, calls }
        if (warmup > 0)
          for (const group of Object.values(groups)) await measure(group, { ...load, clients: WARMUP_CLIENTS, seconds: warmup })
        for (const clients of clientCounts) await compare(groups, { ...load, clients, seconds })
      }
    }
  }
  await Promise.all(Object.values(groups).map((group) => group.end()))
  rmSync(home, { recursive: true })
}

async function compare(groups, load) {
  const { work, size, bytes, reader, clients, calls } = load
  const sides = Object.fromEntries(Object.entries(groups).map(([name, group]) => [name, () => measure(group, load)]))
  const { etcd = {}, raftctl } = await inTurns(sides, {
    rounds,
    onMeasured: (name, { perSecond, p50Ms, p99Ms }) =>
      console.error(
        `${work} ${bytes} B  ${size} members  ${reader}  ${clients} clients  ${name}  ${Math.round(perSecond)}/s  p50 ${p50Ms.toFixed(2)} p99 ${p99Ms.toFixed(2)} ms`,
      ),
  })
  const most = await ceiling({ clients, seconds: Math.min(seconds, 3), next: (i) => calls[i % calls.length] })
  report.row({
    work,
    size,
    bytes,
    reader,
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

async function measure(group, { work, reader, clients, calls, seconds }) {
  const leader = await group.leader()
  const address = reader === 'follower' ? group.addresses.find((other) => other !== leader) : leader
  const metadata = reader === 'lease' && group.name === 'raftctl' ? BY_LEASE : {}
  const before = group.cpuMs
  const startedAt = performance.now()
  const figures =
    work === 'pipeline' && group.name === 'raftctl'
      ? await pipelinedPuts({ address, inFlight: clients, seconds, puts: calls.map(([, message]) => message.subarray(PREFIX_BYTES)) })
      : await closedLoop({ address, clients, seconds, metadata, next: (i) => calls[i % calls.length] })
  const tookS = (performance.now() - startedAt) / 1000
  // Of the warm-up too: by the rate that was measured.
  const cpuUs = before === null ? null : ((group.cpuMs - before) * 1000) / (figures.perSecond * tookS)
  // Outside of what is measured: every version of every put would stay in memory.
  if (work !== 'get') await compact(leader)
  return { ...figures, cpuUs }
}

/** Every key once, so that reads find something. */
async function fill(group, puts) {
  await closedLoop({ address: await group.leader(), clients: 64, operations: puts.length, next: (i) => puts[i] })
}
