import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { example } from '../../../src/generated/braft.js'
import { EntryBatch, EntryType } from '../../../src/raft/log-entry.js'
import type { RaftMeta } from '../../../src/raft/storage.js'
import { fromInt64, logIndex, plus } from '../../../src/raft/types.js'
import { checksum } from '../../../src/storage/checksum.js'
import { FileRaftMetaStorage } from '../../../src/storage/raft-meta.js'
import { LOG, LogBench } from '../../support/log-bench.js'

const FIXTURES = 'test/fixtures/braft/counter-4-peers'
const NODES = ['n0', 'n1', 'n2', 'n3'] as const
type NodeName = (typeof NODES)[number]

interface Step {
  readonly op: string
  readonly value?: number
  readonly returned?: number
}

const journal = (JSON.parse(readFileSync(join(FIXTURES, 'journal.json'), 'utf8')) as { journal: Step[] }).journal
const added = journal.filter((step) => step.op === 'fetch_add').map((step) => step.value!)

const logFiles = (node: NodeName): string[] => readdirSync(join(FIXTURES, node, 'data/log')).sort()
const logFile = (node: NodeName, name: string): Buffer => readFileSync(join(FIXTURES, node, 'data/log', name))

/** A log opened on a copy of what braft left in a node's directory. */
function openCopy(node: NodeName): LogBench {
  const bench = new LogBench(1024)
  for (const name of logFiles(node)) bench.disk.put(`${LOG}/${name}`, logFile(node, name))
  assert.is(bench.open().toString(), 'OK')
  return bench
}

function entriesOf(bench: LogBench): EntryBatch {
  const batches: EntryBatch[] = []
  for (let index = bench.log.firstLogIndex; index <= bench.log.lastLogIndex; index = plus(batches.at(-1)!.lastIndex, 1)) {
    const { status, value } = bench.read(index)
    assert.is(status.toString(), 'OK')
    batches.push(value!)
  }
  return EntryBatch.concat(batches)
}

function valuesIn(entries: EntryBatch): number[] {
  const values: number[] = []
  for (let index = entries.firstIndex; index <= entries.lastIndex; index = plus(index, 1)) {
    if (entries.typeAt(index) === EntryType.DATA) values.push(fromInt64(example.FetchAddRequest.decode(entries.dataAt(index)).value))
  }
  return values
}

test('the logs that braft left open where its own status page says they start and end', () => {
  const ranges = NODES.map((node) => {
    const { firstIndex, lastIndex, tornTail } = openCopy(node).recovery!
    assert.is(tornTail, null)
    return [node, firstIndex, lastIndex]
  })
  for (const [node, first, last] of ranges) {
    if (node === 'n2') continue
    const page = readFileSync(join(FIXTURES, `raft_stat_${String(node).slice(1)}.txt`), 'utf8')
    assert.match(page, `storage: [${first}, ${last}]`)
  }
  assert.is(ranges.length, 4)
})

test('a whole log holds what the journal says was added, in order, with the terms and configurations of its elections', () => {
  const bench = openCopy('n0')
  const entries = entriesOf(bench)
  assert.equal(valuesIn(entries), added.slice(-valuesIn(entries).length))
  const whole = entriesOf(openCopy('n2'))
  assert.is(whole.firstIndex, 1)
  assert.equal(valuesIn(whole), added.slice(0, valuesIn(whole).length))
  assert.ok(valuesIn(whole).length >= 60)

  const configurations = bench.recovery!.configurations
  const joint = configurations.find((entry) => !entry.isStable)
  assert.is(joint?.conf.toString(), '127.0.0.1:8500:0:0,127.0.0.1:8501:0:0,127.0.0.1:8503:0:0')
  assert.is(joint?.old.toString(), '127.0.0.1:8500:0:0,127.0.0.1:8501:0:0,127.0.0.1:8502:0:0')
  assert.is(configurations.at(-1)!.conf.toString(), '127.0.0.1:8500:0:0,127.0.0.1:8501:0:0,127.0.0.1:8503:0:0')
  assert.is(bench.log.getTerm(bench.log.lastLogIndex), 3)
})

test('n0 and n1 and n3 hold the same bytes where their logs overlap', () => {
  const [n0, n1, n3] = [entriesOf(openCopy('n0')), entriesOf(openCopy('n1')), entriesOf(openCopy('n3'))]
  assert.ok(n3.count > 0)
  for (const other of [n1, n3]) {
    const same = n0.slice(other.firstIndex, other.lastIndex)
    assert.is(same.bytes.equals(other.bytes), true)
  }
})

test('the values of the journal add up to the counter that braft had at the end', () => {
  const last = journal.findLast((step) => step.op === 'fetch_add')!
  assert.is(
    added.reduce((sum, value) => sum + value, 0),
    last.returned! + last.value!,
  )
  assert.is(last.returned! + last.value!, 1365516)
})

test('encoding the entries again gives the bytes of braft', () => {
  for (const node of NODES) {
    for (const name of logFiles(node).filter((file) => file !== 'log_meta')) {
      const bytes = logFile(node, name)
      const { batch, problem } = EntryBatch.parse(logIndex(1), bytes, checksum)
      assert.is(problem, null)
      const again = Array.from({ length: batch!.count }, (_, i) => {
        const index = logIndex(i + 1)
        return EntryBatch.encode(index, batch!.termAt(index), [{ type: batch!.typeAt(index), data: batch!.dataAt(index) }], checksum).bytes
      })
      assert.is(Buffer.concat(again).equals(bytes), true, `${node}/${name}`)
    }
  }
})

test('appending the same entries makes the same files: names, rolling and bytes', () => {
  const entries = new LogBench(1024)
  entries.open()
  let next = 1
  for (const name of logFiles('n2').filter((file) => file !== 'log_meta')) {
    const { batch } = EntryBatch.parse(logIndex(next), logFile('n2', name), checksum)
    for (let index = batch!.firstIndex; index <= batch!.lastIndex; index = plus(index, 1))
      assert.is(entries.append(batch!.slice(index, index)).ok, true)
    next = batch!.lastIndex + 1
  }
  assert.equal(entries.disk.namesIn(LOG), logFiles('n2'))
  for (const name of logFiles('n2')) assert.is(entries.disk.bytesOf(`${LOG}/${name}`).equals(logFile('n2', name)), true, name)

  const batched = new LogBench(1024)
  batched.open()
  assert.is(batched.append(entriesOf(entries)).ok, true)
  assert.equal(batched.disk.namesIn(LOG), logFiles('n2'))
  for (const name of logFiles('n2'))
    assert.is(batched.disk.bytesOf(`${LOG}/${name}`).equals(logFile('n2', name)), true, `${name} in one batch`)
})

test('opening and closing a log of braft leaves its files as they were', () => {
  for (const node of NODES) {
    const bench = openCopy(node)
    assert.is(bench.close().ok, true)
    assert.equal(bench.disk.namesIn(LOG), logFiles(node))
    for (const name of logFiles(node)) assert.is(bench.disk.bytesOf(`${LOG}/${name}`).equals(logFile(node, name)), true, `${node}/${name}`)
  }
})

test('raft_meta of braft is taken over only when asked, and written back byte for byte', () => {
  for (const node of NODES) {
    const bench = new LogBench()
    const stored = readFileSync(join(FIXTURES, node, 'data/raft_meta/raft_meta'))
    const open = (adopt: boolean) =>
      new FileRaftMetaStorage({
        fileSystem: bench.disk,
        executor: bench.executor,
        checksum,
        directory: '/data/raft_meta',
        integrityDirectory: '/data/raftctl',
        adopt,
      })
    bench.disk.put('/data/raft_meta/raft_meta', stored)
    const refused = bench.call<RaftMeta>((done) => open(false).load(done))
    assert.match(refused.status.toString(), /ECORRUPT.*no record of ours vouches for it/)
    const adopted = bench.call<RaftMeta>((done) => open(true).load(done))
    assert.is(adopted.status.toString(), 'OK')
    assert.is(adopted.value!.term, node === 'n2' ? 2 : 3)
    assert.is(bench.disk.bytesOf('/data/raft_meta/raft_meta').subarray(0, stored.length).equals(stored), true)
    assert.equal(bench.call<RaftMeta>((done) => open(false).load(done)).value, adopted.value, 'vouched for from now on')
  }
})

test.run()
