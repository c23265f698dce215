// Whether memory stays as it is: three members under puts as fast as they are answered, to keys that are written again and again, with
// old revisions forgotten and the log cut behind snapshots all the while.
//   node bench/memory.mjs [--minutes 10] [--warmup 3] [--clients 64] [--keys 10000] [--value-bytes 128] [--snapshot-interval 30s] [--every 10]
//                         [--size 3] [--dir .] [--json FILE] [--profile DIR]
// The first minute after the warm-up against the last one; the slope is that of a line through all in between. --json keeps the curve.
// The warm-up is in minutes too: a heap is as large as it will be after two or three.
import { parseArgs } from 'node:util'
import { control } from './lib/control.mjs'
import { raftctlGroup } from './lib/groups.mjs'
import { closedLoop, compact, PUT, putMessage } from './lib/kv-load.mjs'
import { memoryOf, workDirectory } from './lib/members.mjs'
import { Report } from './lib/report.mjs'

const MB = 1e6
const CHANGE_MAX = 0.1
const KINDS = ['resident', 'heap', 'external']
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    warmup: { type: 'string', default: '3' },
    clients: { type: 'string', default: '64' },
    keys: { type: 'string', default: '10000' },
    'value-bytes': { type: 'string', default: '128' },
    'snapshot-interval': { type: 'string', default: '30s' },
    every: { type: 'string', default: '10' },
    size: { type: 'string', default: '3' },
    dir: { type: 'string', default: '.' },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
})
const [minutes, warmup, clients, keys, everySeconds, size] = [
  values.minutes,
  values.warmup,
  values.clients,
  values.keys,
  values.every,
  values.size,
].map(Number)
if (minutes < 2) {
  console.error('--minutes 2 at the least: the first minute is compared with the last')
  process.exit(2)
}
const valueBytes = Number(values['value-bytes'])
const snapshotInterval = values['snapshot-interval']
const report = new Report('memory under puts', { minutes, warmup, clients, keys, valueBytes, snapshotInterval, size })
const group = await raftctlGroup({ size, directory: workDirectory(values.dir), profile: values.profile, snapshotInterval })
const leader = await group.leader()
const value = Buffer.alloc(valueBytes, 'v')
const puts = Array.from({ length: keys }, (_, i) => [PUT, putMessage(Buffer.from(`bench/${String(i).padStart(10, '0')}`), value)])

/** By member, in order of time. */
const curves = new Map(group.addresses.map((address) => [address, []]))
const rates = []
const startedAt = performance.now()
const minute = () => (performance.now() - startedAt) / 60_000
while (minute() < warmup + minutes) {
  const slice = closedLoop({ address: leader, clients, seconds: everySeconds, warmupSeconds: 0, next: (i) => puts[i % keys] })
  // In the midst of the load, not in the moment between two slices of it.
  const [{ perSecond }] = await Promise.all([slice, pause(everySeconds * 500).then(sample)])
  rates.push({ minute: minute(), perSecond })
  await compact(leader)
  const problem = group.members.find((member) => member.problem)?.problem
  if (problem) throw new Error(problem)
}

const isFirst = (at) => at.minute >= warmup && at.minute < warmup + 1
const isLast = (at) => at.minute >= warmup + minutes - 1
for (const [address, curve] of curves) {
  const cuts = new Set(curve.map(({ logFirstIndex }) => logFirstIndex)).size - 1
  for (const kind of KINDS) {
    const mean = (when) => average(curve.filter(when).map((at) => at[kind]))
    const measured = curve.filter((at) => at.minute >= warmup)
    const change = mean(isLast) / mean(isFirst) - 1
    report.row({
      member: address === leader ? 'leader' : 'follower',
      memory: kind,
      'first minute MB': mean(isFirst) / MB,
      'last minute MB': mean(isLast) / MB,
      'change %': change * 100,
      'MB a minute': slope(measured.map((at) => [at.minute, at[kind]])) / MB,
      'least MB': Math.min(...measured.map((at) => at[kind])) / MB,
      'most MB': Math.max(...measured.map((at) => at[kind])) / MB,
      'log cut': cuts,
      [`within ${CHANGE_MAX * 100} %`]: Math.abs(change) <= CHANGE_MAX ? 'yes' : 'NO',
    })
  }
}
const rate = (when) => Math.round(average(rates.filter(when).map(({ perSecond }) => perSecond)))
console.log(`${rate(isFirst)} puts a second in the first minute, ${rate(isLast)} in the last`)
report.print(values.json, { rates, curves: Object.fromEntries(curves) })
await group.end()

async function sample() {
  for (const [address, curve] of curves) {
    const memory = await memoryOf(address)
    const { first_index: logFirstIndex } = await control(address, 'GetNodeStatus')
    curve.push({ minute: minute(), logFirstIndex: Number(logFirstIndex), ...memory })
  }
  const told = [...curves.values()].map((curve) => KINDS.map((kind) => Math.round(curve.at(-1)[kind] / MB)).join('/'))
  console.error(`${minute().toFixed(1)} min  ${KINDS.join('/')} MB  ${told.join('  ')}`)
}

function average(of) {
  return of.reduce((sum, one) => sum + one, 0) / of.length
}

/** Of the line that is nearest to all points, by least squares. */
function slope(points) {
  const [meanX, meanY] = [0, 1].map((axis) => average(points.map((point) => point[axis])))
  const along = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0)
  return along / points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
}

function pause(ms) {
  return new Promise((done) => setTimeout(done, ms))
}
