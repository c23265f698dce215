// braft's own counter client against braft's counter and ours, the same client for both, over baidu_std.
//   node bench/counter.mjs --braft DIR [--clients 1,64,256] [--seconds 10] [--rounds 5] [--warmup 10] [--size 3] [--dir .] [--json FILE]
//                          [--profile DIR]
// DIR holds counter_server and counter_client as braft builds them from its examples. Both sides take calls for --warmup seconds first: what is
// measured is a server that has run for a while, not its compiler.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { braftCounterGroup, raftctlGroup } from './lib/groups.mjs'
import { workDirectory } from './lib/members.mjs'
import { Report, ratio } from './lib/report.mjs'
import { inTurns, median } from './lib/turns.mjs'

const WARMUP_CLIENTS = 64
const { values } = parseArgs({
  options: {
    braft: { type: 'string' },
    clients: { type: 'string', default: '1,64,256' },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '5' },
    warmup: { type: 'string', default: '10' },
    size: { type: 'string', default: '3' },
    dir: { type: 'string', default: '.' },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
})
if (values.braft === undefined) {
  console.error("--braft DIR: where braft's counter_server and counter_client are")
  process.exit(2)
}
const [seconds, rounds, warmup, size] = [values.seconds, values.rounds, values.warmup, values.size].map(Number)
const directory = workDirectory(values.dir)
const report = new Report('counter, increments a second by the client of braft', { seconds, rounds, warmup, size })

// Those that are not measured are idle: their heartbeats alone take part.
const groups = {
  braft: await braftCounterGroup({ size, directory, bin: values.braft }),
  raftctl: await raftctlGroup({ size, directory, machine: 'counter', args: ['--transport', 'baidu_std'], profile: values.profile }),
}
if (warmup > 0) for (const group of Object.values(groups)) await measure(group, WARMUP_CLIENTS, warmup)
for (const clients of values.clients.split(',').map(Number)) {
  const sides = Object.fromEntries(Object.entries(groups).map(([name, group]) => [name, () => measure(group, clients, seconds)]))
  const { braft, raftctl } = await inTurns(sides, {
    rounds,
    onMeasured: (name, { perSecond, latencyUs }) =>
      console.error(`${clients} clients  ${name}  ${Math.round(perSecond)}/s  ${Math.round(latencyUs)} us`),
  })
  report.row({
    clients,
    braft: braft.perSecond,
    raftctl: raftctl.perSecond,
    ratio: ratio(raftctl.perSecond, braft.perSecond),
    'braft us': braft.latencyUs,
    'raftctl us': raftctl.latencyUs,
    'braft cpu us/op': braft.cpuUs,
    'raftctl cpu us/op': raftctl.cpuUs,
  })
}
report.print(values.json)
await Promise.all(Object.values(groups).map((group) => group.end()))

/** What the client says of each whole second, without those in which it finds the leader and ends. */
async function measure(group, clients, seconds) {
  const conf = group.addresses.map((address) => `${address}:0`).join(',')
  const client = spawn(
    join(values.braft, 'counter_client'),
    [`-conf=${conf}`, '-group=Counter', `-thread_num=${clients}`, '-use_bthread=true'],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  const ended = new Promise((done) => client.once('exit', done))
  const perSecond = []
  const latencyUs = []
  const cpu = []
  for await (const line of createInterface({ input: client.stderr })) {
    const [, rate, latency] = /at qps=(\d+) latency=(\d+)/.exec(line) ?? []
    if (rate === undefined || (perSecond.length === 0 && Number(rate) === 0)) continue
    perSecond.push(Number(rate))
    latencyUs.push(Number(latency))
    cpu.push(group.cpuMs)
    if (perSecond.length === seconds + 2) break
  }
  client.kill('SIGKILL')
  await ended
  const problem = group.members.find((member) => member.problem)?.problem
  if (problem) throw new Error(problem)
  if (perSecond.length < 3) throw new Error(`${group.name}: the client was answered nothing`)
  const cpuMs = cpu.at(-1) - cpu[1]
  const done = perSecond.slice(2).reduce((sum, each) => sum + each, 0)
  return {
    perSecond: median(perSecond.slice(2)),
    latencyUs: median(latencyUs.slice(2)),
    cpuUs: cpu.includes(null) ? null : (cpuMs * 1000) / done,
  }
}
