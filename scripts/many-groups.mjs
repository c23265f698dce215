// Many groups of three members in three processes on this machine: how long they take to be created, to be led, to be led again when
// a process is killed, and to be opened by a start; and what they cost while nothing happens.
//   node scripts/many-groups.mjs [--groups 1000] [--idle 10] [--election-timeout 1000] [--transport grpc|baidu_std] [--dir /tmp] [--json]
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import * as grpc from '@grpc/grpc-js'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { Control } = await import(join(root, 'dist/src/rpc/control-definition.js'))
const { ServiceClient, MESSAGE_LIMITS } = await import(join(root, 'dist/src/rpc/grpc.js'))
const { NODE_FLAGS } = await import(join(root, 'dist/src/local/node-flags.js'))

const TICKS_PER_SECOND = 100
const CREATING = 24
const { values: flags } = parseArgs({
  options: {
    groups: { type: 'string', default: '1000' },
    idle: { type: 'string', default: '10' },
    'election-timeout': { type: 'string', default: '1000' },
    transport: { type: 'string', default: 'grpc' },
    dir: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
  },
})
const count = Number(flags.groups)
const timeoutMs = Number(flags['election-timeout'])
const home = mkdtempSync(join(flags.dir, 'raftctl-many-groups-'))
const say = (text) => flags.json || console.log(text)

class Process {
  constructor(port, peers) {
    this.port = port
    this.peers = peers
    this.address = `127.0.0.1:${port}`
    this.channel = new grpc.Client(this.address, grpc.credentials.createInsecure(), {
      ...MESSAGE_LIMITS,
      'grpc.max_reconnect_backoff_ms': 200,
    })
    this.control = new ServiceClient(Control, this.channel)
  }

  start() {
    const log = openSync(join(home, `${this.port}.log`), 'a')
    const args = ['--listen', this.address, '--data', join(home, String(this.port)), '--peers', this.peers]
    const more = ['--election-timeout', `${timeoutMs}ms`, '--transport', flags.transport]
    const command = [...NODE_FLAGS, join(root, 'bin/run.js'), 'node', 'start', ...args, ...more]
    this.child = spawn(process.execPath, command, { stdio: ['ignore', log, log] })
    this.gone = new Promise((resolve) => this.child.once('exit', resolve))
    return this
  }

  kill() {
    this.child.kill('SIGKILL')
    return this.gone
  }

  async groups() {
    const { groups } = await this.control.call('ListGroups', {}, { timeoutMs: 10_000 })
    return groups
  }

  /** Seconds of CPU since its start, and megabytes in memory. */
  usage() {
    const stat = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))
    return { cpuS: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND, rssMb: Number(rss[1]) / 1024 }
  }

  /** How often something happened since the start of the process, by the name of the event. */
  async events() {
    const text = await (await fetch(`http://${this.address}/metrics`)).text()
    return new Map([...text.matchAll(/^raft_events_total\{event="([^"]+)"\} (\d+)/gm)].map(([, name, times]) => [name, Number(times)]))
  }

  /** What it sent and received: bytes, and calls of the kernel, which is what messages cost. */
  io() {
    return Object.fromEntries(
      readFileSync(`/proc/${this.child.pid}/io`, 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.split(': '))
        .map(([key, value]) => [key, Number(value)]),
    )
  }
}

function freePorts(many) {
  const probes = Array.from({ length: many }, () => net.createServer())
  return Promise.all(probes.map((probe) => new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve)))).then(async () => {
    const ports = probes.map((probe) => probe.address().port)
    await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))))
    return ports
  })
}

/** Connections between two of the processes, whoever opened them. */
function connectionsBetween(processes) {
  const socketsOf = ({ child }) =>
    new Set(
      readdirSync(`/proc/${child.pid}/fd`).flatMap((fd) => {
        try {
          return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${child.pid}/fd/${fd}`))?.[1] ?? []
        } catch {
          return []
        }
      }),
    )
  const owners = processes.map((one) => [one.port, socketsOf(one)])
  const established = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === '01')
  const pairs = new Map()
  for (const fields of established) {
    const to = Number.parseInt(fields[2].split(':')[1], 16)
    const from = owners.find(([, sockets]) => sockets.has(fields[9]))?.[0]
    const target = processes.find(({ port }) => port === to)?.port
    if (from && target) pairs.set(`${from}→${target}`, (pairs.get(`${from}→${target}`) ?? 0) + 1)
  }
  return pairs
}

async function eventually(what, look, patienceMs = 300_000) {
  const end = Date.now() + patienceMs
  for (let last = ''; Date.now() < end; await pause(100)) {
    const found = await look().catch((error) => void (last = error.message))
    if (found) return found
    if (Date.now() > end - 100) throw new Error(`gave up waiting for ${what} ${last}`)
  }
  throw new Error(`gave up waiting for ${what}`)
}

const isOurs = ({ group }) => group.startsWith('g-')
/** Names of the groups that have a leader whose first entry is committed. */
async function led(processes) {
  const all = (await Promise.all(processes.map((one) => one.groups()))).flat().filter(isOurs)
  return new Set(all.filter(({ state, commit_index: commit }) => state === 'LEADER' && Number(commit) > 0).map(({ group }) => group))
}

async function electionsIn(processes) {
  const events = await Promise.all(processes.map((one) => one.events()))
  const sum = (name) => events.reduce((total, one) => total + (one.get(name) ?? 0), 0)
  return { started: sum('election.started'), won: sum('election.won') }
}

const report = { groups: count, electionTimeoutMs: timeoutMs, transport: flags.transport }
const ports = await freePorts(3)
const peers = ports.map((port) => `127.0.0.1:${port}`).join(',')
const processes = ports.map((port) => new Process(port, peers))
try {
  for (const one of processes) one.start()
  await eventually('the first group', async () =>
    (await Promise.all(processes.map((one) => one.groups()))).flat().some(({ state }) => state === 'LEADER'),
  )
  const empty = processes.map((one) => one.usage().rssMb)

  let startedAt = performance.now()
  const founders = ports.map((port) => `127.0.0.1:${port}:0:0`)
  const queue = Array.from({ length: count }, (_, at) => ({
    group: `g-${at}`,
    machine: 'kv',
    uid: randomBytes(16).toString('hex'),
    founders,
  }))
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift())
      await Promise.all(processes.map((one) => one.control.call('CreateGroup', next, { timeoutMs: 60_000 })))
  }
  await Promise.all(Array.from({ length: CREATING }, work))
  report.createMs = Math.round(performance.now() - startedAt)
  await eventually('all to be led', async () => (await led(processes)).size === count)
  report.ledMs = Math.round(performance.now() - startedAt)
  report.electionsAtFirst = await electionsIn(processes)
  say(
    `${count} groups created in ${report.createMs} ms, all led after ${report.ledMs} ms; elections ${JSON.stringify(report.electionsAtFirst)}`,
  )

  // To be asked for the events of a thousand groups is not to be idle.
  const electionsBefore = await electionsIn(processes)
  await pause(5000)
  const before = processes.map((one) => ({ ...one.usage(), ...one.io() }))
  const idleS = Number(flags.idle)
  startedAt = performance.now()
  await pause(idleS * 1000)
  const tookS = (performance.now() - startedAt) / 1000
  report.idle = processes.map((one, at) => {
    const now = { ...one.usage(), ...one.io() }
    return {
      cpuPercent: Math.round((1000 * (now.cpuS - before[at].cpuS)) / tookS) / 10,
      rssMb: Math.round(now.rssMb),
      kbPerGroup: Math.round(((now.rssMb - empty[at]) * 1024) / count),
      writesPerS: Math.round((now.syscw - before[at].syscw) / tookS),
      readsPerS: Math.round((now.syscr - before[at].syscr) / tookS),
    }
  })
  report.electionsWhileIdle = (await electionsIn(processes)).started - electionsBefore.started
  report.connections = Object.fromEntries(connectionsBetween(processes))
  for (const [at, one] of report.idle.entries()) say(`idle n${at + 1}: ${JSON.stringify(one)}`)
  say(`elections while idle: ${report.electionsWhileIdle}; connections ${JSON.stringify(report.connections)}`)

  const [victim, ...others] = processes
  const lost = (await victim.groups()).filter((one) => isOurs(one) && one.state === 'LEADER').length
  const beforeKill = await electionsIn(others)
  startedAt = performance.now()
  await victim.kill()
  await eventually('all to be led again', async () => (await led(others)).size === count)
  const afterKill = await electionsIn(others)
  report.kill = {
    leadersLost: lost,
    ledAgainMs: Math.round(performance.now() - startedAt),
    elections: { started: afterKill.started - beforeKill.started, won: afterKill.won - beforeKill.won },
  }
  say(`killed the leader of ${lost}: ${JSON.stringify(report.kill)}`)

  startedAt = performance.now()
  victim.start()
  await eventually('the killed one to run every group', async () => {
    const own = (await victim.groups()).filter(isOurs)
    return own.length === count && own.every(({ state }) => state === 'FOLLOWER' || state === 'LEADER')
  })
  report.restartMs = Math.round(performance.now() - startedAt)
  const opened = readFileSync(join(home, `${victim.port}.log`), 'utf8')
    .match(/.*groups\.open.*/g)
    ?.at(-1)
  report.openMs = Number(/"tookMs":(\d+)/.exec(opened ?? '')?.[1] ?? /tookMs=(\d+)/.exec(opened ?? '')?.[1] ?? 0)
  await pause(3 * timeoutMs)
  const afterStart = await electionsIn(others)
  report.electionsByRestart = afterStart.started - afterKill.started
  say(`started again: every group runs after ${report.restartMs} ms (opening ${report.openMs} ms); elections ${report.electionsByRestart}`)
  if (flags.json) console.log(JSON.stringify(report, null, 2))
} finally {
  for (const one of processes) {
    one.channel.close()
    if (one.child && one.child.exitCode === null && one.child.signalCode === null) await one.kill()
  }
  rmSync(home, { recursive: true, force: true })
}
