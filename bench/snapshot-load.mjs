// What puts feel of the snapshots of a large state: three processes under so many puts a second, without a snapshot, while the leader
// saves one, while all members do, and while a follower that lost its directory is sent one.
//   node bench/snapshot-load.mjs [--state-mb 1000] [--value-bytes 1000] [--rate 500] [--seconds 20] [--size 3] [--dir .] [--json FILE]
//                                [--profile DIR]
// Puts are timed from when they were due. What a snapshot leaves to be done when it is there, old files to be removed above all, is measured
// with it: five more seconds. Room for the log, two snapshots and a copy on the way of each member is needed: five times the state for each.
import { readFileSync, renameSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { control } from './lib/control.mjs'
import { raftctlGroup } from './lib/groups.mjs'
import { closedLoop, PUT, putMessage } from './lib/kv-load.mjs'
import { until, workDirectory } from './lib/members.mjs'
import { Report, ratio } from './lib/report.mjs'
import { SteadyLoad } from './lib/steady-load.mjs'

const FILL_CLIENTS = 32
/** Written again when the leader was lost meanwhile. */
const FILL_AT_ONCE = 5000
const INSTALL_MS_MAX = 600_000
const AFTERMATH_MS = 5000
/** After the state was written, until the system has its pages on the disk. */
const SETTLING_MS = 30_000
const { values } = parseArgs({
  options: {
    'state-mb': { type: 'string', default: '1000' },
    'value-bytes': { type: 'string', default: '1000' },
    rate: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '20' },
    size: { type: 'string', default: '3' },
    dir: { type: 'string', default: '.' },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
})
const [stateMb, valueBytes, rate, seconds, size] = [
  values['state-mb'],
  values['value-bytes'],
  values.rate,
  values.seconds,
  values.size,
].map(Number)
const keys = Math.ceil((stateMb * 1e6) / valueBytes)
const report = new Report('puts beside snapshots of a large state', { stateMb, valueBytes, keys, rate, size })
const group = await raftctlGroup({ size, directory: workDirectory(values.dir), profile: values.profile })
let leader = await group.leader()
const value = Buffer.alloc(valueBytes, 'v')
// Keys in an order that is not theirs: a large step that has no factor in common with their number.
const step = 7919
const put = (i) => [PUT, putMessage(Buffer.from(`bench/${String((i * step) % keys).padStart(10, '0')}`), value)]

const filledIn = await timed(fill)
console.error(`${keys} keys written in ${(filledIn / 1000).toFixed(0)} s`)
const follower = group.addresses.findIndex((address) => address !== leader)
// What was written is on its way to the disk still, and followers apply it.
await applied(group.addresses)
const load = new SteadyLoad({ address: leader, perSecond: rate, next: put })
await pause(SETTLING_MS)

/** How much of each log was read. */
const heard = new Map()
let idle = null
idle = await measured('none', () => pause(seconds * 1000))
await measured('the leader saves', () => control(leader, 'TriggerSnapshot'))
await measured('all save', () => Promise.all(group.addresses.map((address) => control(address, 'TriggerSnapshot'))))
// A log starts behind the first of two snapshots: who has nothing cannot be brought up by it. Whoever leads by now may have one only.
leader = await group.leader()
while (Number((await control(leader, 'GetNodeStatus')).first_index) === 1) await control(leader, 'TriggerSnapshot')
await measured('a follower installs', async () => {
  await group.members[follower].end('SIGKILL')
  // Not removed before the end: that would be work for the disk, and for this process, that is timed.
  renameSync(group.directories[follower], `${group.directories[follower]}-lost`)
  group.restart(follower, ['--rebuild'])
  await applied([group.addresses[follower]])
  const { snapshot } = await control(group.addresses[follower], 'GetNodeStatus')
  if (!snapshot) throw new Error('the follower was brought up without a snapshot')
})
await load.end()
report.print(values.json)
await group.end()

async function fill() {
  for (let from = 0; from < keys; ) {
    const operations = Math.min(FILL_AT_ONCE, keys - from)
    try {
      await closedLoop({ address: leader, clients: FILL_CLIENTS, operations, next: (i) => put(from + i) })
      from += operations
    } catch (error) {
      console.error(`written again from ${from}: ${error.message.slice(0, 500)}`)
      leader = await group.leader()
    }
  }
}

/** Runs something long, and tells how the puts fared meanwhile. */
async function measured(snapshot, run) {
  const before = await control(leader, 'GetNodeStatus')
  stalls()
  const from = performance.now()
  const tookMs = await timed(run).catch((error) => {
    throw new Error(group.members.find((member) => member.problem)?.problem ?? error.message)
  })
  await pause(AFTERMATH_MS)
  const puts = await load.between(from, from + tookMs + AFTERMATH_MS)
  const after = await control(leader, 'GetNodeStatus')
  const problem = group.members.find((member) => member.problem)?.problem
  if (problem) throw new Error(problem)
  report.row({
    snapshot,
    'took s': tookMs / 1000,
    puts: puts.count,
    failed: puts.failed,
    'p50 ms': puts.p50Ms,
    'p99 ms': puts.p99Ms,
    'longest ms': puts.maxMs,
    'p99 to none': ratio(puts.p99Ms, idle?.p99Ms ?? puts.p99Ms),
    elections: Number(after.term) - Number(before.term),
    stalls: stalls() || 'none',
  })
  console.error(`${snapshot}  ${(tookMs / 1000).toFixed(1)} s  p50 ${puts.p50Ms?.toFixed(2)} p99 ${puts.p99Ms?.toFixed(2)} ms`)
  return puts
}

/** Until these members have applied what the leader has committed by now, as members that count. */
async function applied(addresses) {
  const { commit_index: target } = await control(leader, 'GetNodeStatus')
  const done = async (address) => {
    const { standing, applied_index: index } = await control(address, 'GetNodeStatus')
    return standing !== 'rebuilding' && Number(index) >= Number(target) ? true : null
  }
  for (const address of addresses) await until(`${address} has applied ${target}`, group.members, () => done(address), INSTALL_MS_MAX)
}

/** What members have said since it was asked last of their event loops standing still for half an election timeout and more, in ms. */
function stalls() {
  return group.members
    .flatMap((member) => {
      const said = readFileSync(member.logFile, 'utf8').slice(heard.get(member.logFile) ?? 0)
      heard.set(member.logFile, (heard.get(member.logFile) ?? 0) + said.length)
      return [...said.matchAll(/"gapMs":(\d+)[^\n]*"process\.stalled"/g)].map(([, ms]) => ms)
    })
    .join(' ')
}

async function timed(run) {
  const startedAt = performance.now()
  await run()
  return performance.now() - startedAt
}

function pause(ms) {
  return new Promise((done) => setTimeout(done, ms))
}
