import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { File, FileSystem } from '../../../src/raft/environment.js'
import { Status } from '../../../src/raft/errors.js'
import type { RaftEvent } from '../../../src/raft/events.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { WRITE_LATENCY_BOUNDS_MS } from '../../../src/raft/write-latency.js'
import { EventLog, eventFields } from '../../../src/rpc/event-log.js'
import { Faults } from '../../../src/rpc/faults.js'
import { LatencyWindow } from '../../../src/server/latency-window.js'
import { MemberNames } from '../../../src/server/member-names.js'
import { Metrics } from '../../../src/server/metrics.js'
import { timedFileSystem } from '../../../src/server/timed-file-system.js'
import { nodeStatus } from '../../support/rpc.js'

const n1 = PeerId.parse('127.0.0.1:7001')!
const n2 = PeerId.parse('127.0.0.1:7002')!
const home = mkdtempSync(join(tmpdir(), 'raftctl-server-'))

test.after(() => rmSync(home, { recursive: true }))

function won(term: number): RaftEvent {
  return { groupId: 'kv', peerId: n1, name: 'election.won', term: asTerm(term), votes: 2, voters: 3, afterMs: 17.8238 }
}

test('a percentile is of the newest samples only', () => {
  const window = new LatencyWindow(100)
  assert.is(window.percentile(0.99), null)
  for (let i = 0; i < 50; i++) window.add(1000)
  for (let i = 1; i <= 100; i++) window.add(i)
  assert.is(window.percentile(0.99), 100)
  assert.is(window.percentile(0.5), 51)
})

test('members keep their names across a restart, and what is told now wins', async () => {
  const path = join(home, 'members.json')
  const names = new MemberNames(new Map([[n1.key, 'n1']]))
  names.keepIn(path)
  names.learn(n2, 'second')
  await names.saved()
  assert.equal(JSON.parse(readFileSync(path, 'utf8')).members, { [n1.key]: 'n1', [n2.key]: 'second' })
  const again = new MemberNames(new Map([[n1.key, 'renamed']]))
  again.keepIn(path)
  assert.is(again.nameOf(n2), 'second')
  assert.is(again.nameOf(n1), 'renamed')
  assert.is(again.nameOf(PeerId.parse('127.0.0.1:9')!), '')
  await again.saved()
})

test('a damaged file of names costs the names and nothing else', async () => {
  const path = join(home, 'damaged.json')
  writeFileSync(path, '{"members":{"127.0.0.1:70')
  const names = new MemberNames(new Map())
  names.keepIn(path)
  assert.is(names.nameOf(n1), '')
  names.learn(n1, 'n1')
  await names.saved()
  assert.is(JSON.parse(readFileSync(path, 'utf8')).members[n1.key], 'n1')
})

test('the event log numbers what it keeps, leaves routine out and forgets the oldest', () => {
  const log = new EventLog(10)
  for (let term = 1; term <= 30; term++) {
    log.add(won(term))
    log.add({ groupId: 'kv', peerId: n1, name: 'commit.advanced', index: logIndex(term) })
  }
  const kept = log.since(0)
  assert.is(kept.length, 10)
  assert.equal([kept[0]!.seq, kept.at(-1)!.seq], [21, 30])
  assert.equal(
    log.since(28).map(({ seq }) => seq),
    [29, 30],
  )
})

test('who waits for an event is told when it happens, or when the time is over', async () => {
  const log = new EventLog()
  let leader = false
  const held = new Promise<boolean>((resolve) => log.waitFor(() => leader, 5000, resolve))
  log.add(won(1))
  leader = true
  log.add(won(2))
  assert.is(await held, true)
  assert.is(await new Promise<boolean>((resolve) => log.waitFor(() => false, 5, resolve)), false)
})

test("an event's fields are numbers where they are numbers", () => {
  assert.equal(eventFields(won(3)), { term: 3, votes: 2, voters: 3, afterMs: 17.8 })
  const lost: RaftEvent = { groupId: 'kv', peerId: n1, name: 'leader.lost', leader: n2, term: asTerm(3), reason: Status.OK }
  assert.equal(eventFields(lost), { leader: '127.0.0.1:7002:0:0', term: 3, reason: 'OK' })
})

test('faults that were not enabled cannot be set', () => {
  const faults = new Faults(false)
  faults.set({ partition: [n1.address] })
  assert.not(faults.isCut(n1))
})

test('faults change one by one, are cleared by nothing and zero, and heal by themselves', async () => {
  const faults = new Faults(true)
  const concerned: string[][] = []
  faults.onChange((addresses) => concerned.push([...addresses]))
  faults.set({ dialMap: { [n1.toString()]: '127.0.0.1:9' }, delayMs: { [n2.address]: 20 } })
  assert.equal(faults.dialTarget(n1), { host: '127.0.0.1', port: 9 })
  assert.is(faults.dialTarget(n2), n2)
  assert.is(faults.delayTo(n2), 20)
  faults.set({ dialMap: { [n1.address]: '' }, delayMs: { [n2.address]: 0 }, partition: [n2.toString()] })
  assert.is(faults.dialTarget(n1), n1)
  assert.is(faults.delayTo(n2), 0)
  assert.ok(faults.isCut(n2))
  assert.equal(concerned, [[n1.address], [n1.address, n2.address]])
  const healed = new Promise<void>((resolve) => faults.onChange(() => faults.isCut(n2) || resolve()))
  faults.set({ ttlMs: 10 })
  const alive = setTimeout(() => {}, 1000)
  await healed
  clearTimeout(alive)
})

test('only durable writes are timed', async () => {
  const file = {
    write: (_b: unknown, _p: number, done: (s: Status) => void) => done(Status.OK),
    datasync: (done: (s: Status) => void) => done(Status.OK),
  }
  const files = {
    open: (_p: string, _o: unknown, done: (s: Status, f: File) => void) => done(Status.OK, file as File),
  } as unknown as FileSystem
  let timed = 0
  const system = timedFileSystem(files, (ms) => {
    assert.ok(ms >= 0)
    timed++
  })
  system.open('plain', { write: true }, (_status, plain) => {
    plain!.write([], 0, () => {})
    assert.is(timed, 0)
    plain!.datasync(() => {})
    assert.is(timed, 1)
  })
  system.open('durable', { write: true, dsync: true }, (_status, durable) => durable!.write([], 0, () => {}))
  assert.is(timed, 2)
})

test('what was measured before the metrics were first asked for is in them', async () => {
  const metrics = new Metrics(() => [])
  metrics.observeSync(3)
  metrics.observeEvent(won(1))
  metrics.observeCall('/etcdserverpb.KV/Put', 0, 2.5)
  metrics.observeCall('/etcdserverpb.KV/Put', 14, 6000)
  const text = await metrics.text()
  assert.match(text, 'raft_sync_seconds_count 1')
  assert.match(text, 'raft_events_total{event="election.won"} 1')
  assert.match(text, 'raftctl_call_seconds_count{method="etcdserverpb.KV/Put",code="0"} 1')
  const put = 'method="etcdserverpb.KV/Put"'
  assert.equal(text.match(/^raftctl_call_seconds_(bucket.*(le="(0.001|0.0025|5|\+Inf)".*)|sum.*)$/gm), [
    `raftctl_call_seconds_bucket{${put},code="0",le="0.001"} 0`,
    `raftctl_call_seconds_bucket{${put},code="0",le="0.0025"} 1`,
    `raftctl_call_seconds_bucket{${put},code="0",le="5"} 1`,
    `raftctl_call_seconds_bucket{${put},code="0",le="+Inf"} 1`,
    `raftctl_call_seconds_sum{${put},code="0"} 0.0025`,
    `raftctl_call_seconds_bucket{${put},code="14",le="0.001"} 0`,
    `raftctl_call_seconds_bucket{${put},code="14",le="0.0025"} 0`,
    `raftctl_call_seconds_bucket{${put},code="14",le="5"} 0`,
    `raftctl_call_seconds_bucket{${put},code="14",le="+Inf"} 1`,
    `raftctl_call_seconds_sum{${put},code="14"} 6`,
  ])
  assert.is(metrics.syncP99Ms, 3)
})

test('a scrape looks at each group once, and the event loop turns meanwhile', async () => {
  let turns = 0
  let isOver = false
  const turn = () => {
    turns++
    if (!isOver) setImmediate(turn)
  }
  const turnsAt: number[] = []
  const metrics = new Metrics(function* () {
    for (let group = 0; group < 300; group++) {
      turnsAt.push(turns)
      yield nodeStatus({ groupId: `g${group}` })
    }
  })
  await metrics.load()
  setImmediate(turn)
  const text = await metrics.text()
  isOver = true
  assert.is(turnsAt.length, 300)
  assert.ok(new Set(turnsAt).size >= 4, 'not all in one turn')
  assert.ok(turns > new Set(turnsAt).size + 10, 'a turn between two metrics')
  assert.is(text.match(/^raft_term\{/gm)?.length, 300)
})

test('the stages of writes are a histogram by group and stage, in seconds, of what the engine counted', async () => {
  const classes = WRITE_LATENCY_BOUNDS_MS.map(() => 0).concat(1)
  classes[WRITE_LATENCY_BOUNDS_MS.indexOf(5)] = 2
  const append = { count: 3, sumMs: 9008, classes, p50Ms: 4, p99Ms: 9000 }
  const statuses = [nodeStatus({ groupId: 'idle' }), nodeStatus({ groupId: 'kv', writeLatency: { append } })]
  const lines = (await new Metrics(() => statuses).text()).split('\n').filter((line) => line.includes('raft_write_stage_seconds'))
  const labels = 'group="kv",stage="append"'
  assert.is(lines[1], '# TYPE raft_write_stage_seconds histogram')
  assert.equal(
    lines.filter((line) => /le="(0.0025|0.005|5|\+Inf)"/.test(line)),
    [
      `raft_write_stage_seconds_bucket{${labels},le="0.0025"} 0`,
      `raft_write_stage_seconds_bucket{${labels},le="0.005"} 2`,
      `raft_write_stage_seconds_bucket{${labels},le="5"} 2`,
      `raft_write_stage_seconds_bucket{${labels},le="+Inf"} 3`,
    ],
  )
  assert.equal(lines.slice(-2), [`raft_write_stage_seconds_sum{${labels}} 9.008`, `raft_write_stage_seconds_count{${labels}} 3`])
})

test.run()
