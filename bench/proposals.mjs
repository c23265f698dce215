// Proposals from inside the leader, as a program that uses the library makes them: three processes, every one syncing.
//   node bench/proposals.mjs [--in-flight 1,64,256,1024] [--bytes 128] [--seconds 5] [--warmup 5] [--rounds 3] [--size 3] [--dir .] [--json FILE] [--profile DIR]
// Beside it the limit: one durable write of as many bytes after another, by one loop on the same disk.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { NODE_FLAGS } from '../dist/src/local/node-flags.js'
import { syncedWrites } from './lib/disk.mjs'
import { freePorts, processCpuMs, workDirectory } from './lib/members.mjs'
import { Report, ratio } from './lib/report.mjs'
import { inTurns } from './lib/turns.mjs'

const { values } = parseArgs({
  options: {
    'in-flight': { type: 'string', default: '1,64,256,1024' },
    bytes: { type: 'string', default: '128' },
    seconds: { type: 'string', default: '5' },
    warmup: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    size: { type: 'string', default: '3' },
    dir: { type: 'string', default: '.' },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
})
const [bytes, seconds, warmupSeconds, rounds, size] = [values.bytes, values.seconds, values.warmup, values.rounds, values.size].map(Number)
const directory = workDirectory(values.dir)
const report = new Report('proposals inside the leader', { bytes, seconds, rounds, size })

const addresses = (await freePorts(size)).map((port) => `127.0.0.1:${port}`)
const proposer = fileURLToPath(new URL('lib/proposer.mjs', import.meta.url))
const execArgv = [...NODE_FLAGS, ...(values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`])]
const members = addresses.map((address, i) => {
  const data = join(directory, `member-${i + 1}`)
  mkdirSync(data)
  return fork(proposer, [address, addresses.join(','), data], { execArgv })
})
process.on('exit', () => {
  for (const member of members) member.kill('SIGKILL')
})
await Promise.all(members.map((member) => answerOf(member)))
let leader = null
while (leader === null) {
  for (const member of members) if ((await ask(member, 'leads?')).leads) leader = member
}

for (const inFlight of values['in-flight'].split(',').map(Number)) {
  const sides = {
    raftctl: () => measure(inFlight),
    disk: () => syncedWrites({ file: join(directory, 'limit'), bytes, seconds: Math.min(seconds, 2) }),
  }
  const { raftctl, disk } = await inTurns(sides, {
    rounds,
    onMeasured: (name, { perSecond, p50Ms }) =>
      console.error(`${inFlight} in flight  ${name}  ${Math.round(perSecond)}/s  p50 ${p50Ms.toFixed(2)} ms`),
  })
  report.row({
    'in flight': inFlight,
    'proposals/s': raftctl.perSecond,
    'p50 ms': raftctl.p50Ms,
    'p99 ms': raftctl.p99Ms,
    'cpu us/op': raftctl.cpuUs,
    'one write ms': disk.p50Ms,
    'p50 of one write': ratio(raftctl.p50Ms, disk.p50Ms),
  })
}
report.print(values.json)
for (const member of members) member.send('end')
await Promise.all(members.map((member) => once(member, 'exit')))

async function measure(inFlight) {
  const before = cpuMs()
  const { figures, problem } = await ask(leader, { inFlight, bytes, warmupSeconds, seconds })
  if (problem) throw new Error(problem)
  // Of the warm-up too, which goes at the same rate.
  const took = cpuMs() - before
  return { ...figures, cpuUs: Number.isNaN(took) ? null : (took * 1000) / (figures.perSecond * (seconds + warmupSeconds)) }
}

function cpuMs() {
  return members.reduce((sum, { pid }) => sum + (processCpuMs(pid) ?? Number.NaN), 0)
}

function ask(member, what) {
  const answered = answerOf(member)
  member.send(what)
  return answered
}

function answerOf(member) {
  return new Promise((done, fail) => {
    const onExit = (code) => fail(new Error(`a member ended with ${code}`))
    member.once('exit', onExit)
    member.once('message', (answer) => {
      member.off('exit', onExit)
      done(answer)
    })
  })
}
