// The bytes of braft's examples: commands as their machines write them to the log, and the files of their snapshots.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AtomicMachine } from '../../../src/machines/atomic/state-machine.js'
import { BlockMachine } from '../../../src/machines/block/state-machine.js'
import { CounterMachine } from '../../../src/machines/counter/state-machine.js'
import { describerOf } from '../../../src/machines/describe.js'
import { ErrorCode } from '../../../src/raft/errors.js'
import { EntryBatch, EntryType } from '../../../src/raft/log-entry.js'
import { logIndex, plus } from '../../../src/raft/types.js'
import { checksum } from '../../../src/storage/checksum.js'
import { MachineBench } from './bench.js'

const FIXTURES = 'test/fixtures/braft/counter-4-peers'
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const plain = (answer: unknown) => JSON.parse(JSON.stringify(answer, (_key, value) => (value?.toNumber ? value.toNumber() : value)))

function commandsOf(node: string): Buffer[] {
  const directory = join(FIXTURES, node, 'data/log')
  const commands: Buffer[] = []
  for (const name of readdirSync(directory)
    .filter((file) => file !== 'log_meta')
    .sort()) {
    const batch = EntryBatch.parse(logIndex(1), readFileSync(join(directory, name)), checksum).batch!
    for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1))
      if (batch.typeAt(index) === EntryType.DATA) commands.push(Buffer.from(batch.dataAt(index)))
  }
  return commands
}

test("the counter applies a log that braft wrote and holds braft's value, whole or behind a snapshot of braft's", () => {
  const whole = new MachineBench(CounterMachine)
  whole.apply(...commandsOf('n0'))
  assert.is(whole.machine.value, 1365516n)

  const snapshot = readFileSync(join(FIXTURES, 'n3/data/snapshot/snapshot_00000000000000000079/data'))
  const later = new MachineBench(CounterMachine)
  assert.is(later.load(snapshot).toString(), 'OK')
  assert.equal(later.save(), snapshot, 'and writes the same file')
  later.apply(...commandsOf('n3'))
  assert.is(later.machine.value, 1365516n)
  assert.is(later.hash().sha256, whole.hash().sha256)
})

test('the counter answers what it was before, wraps around as C++ does, and ignores what is no command', () => {
  const bench = new MachineBench(CounterMachine)
  const answers = bench.apply(hex('08 05'), hex('08 ff ff ff ff ff ff ff ff 7f'), hex('ff'), hex('08 01'))
  const int64 = (text: string) => BigInt(text)
  assert.equal(
    answers.map((answer) => BigInt(String((answer as { value: unknown }).value))),
    [0n, 5n, int64('-9223372036854775804'), int64('-9223372036854775804')],
  )
  assert.is(bench.machine.value, -9223372036854775803n)
  const again = new MachineBench(CounterMachine)
  again.load(bench.save())
  assert.is(again.machine.value, -9223372036854775803n)
})

test('the counter does not start on a snapshot that is cut short', () => {
  const bench = new MachineBench(CounterMachine)
  assert.is(bench.load(hex('00 00 00 04 08 05')).code, ErrorCode.ECORRUPT)
  assert.is(bench.machine.value, 0n)
})

test('atomic reads a code before each message, and exchanges as braft does', () => {
  const bench = new MachineBench(AtomicMachine)
  const get = hex('01 0807')
  const exchange = hex('02 0807 1005')
  const compareExchange = hex('03 0807 1005 1809')
  const answers = bench.apply(get, exchange, get, compareExchange, compareExchange).map(plain)
  assert.equal(answers, [
    { id: 7, old_value: 0, success: true, new_value: 0 },
    { id: 7, old_value: 0, success: true, new_value: 5 },
    { id: 7, old_value: 5, success: true, new_value: 5 },
    { id: 7, old_value: 5, success: true, new_value: 9 },
    { id: 7, old_value: 9, success: false, new_value: 9 },
  ])
  assert.equal(bench.apply(hex('04 0807'), hex(''), hex('02 ff')).map(plain), [{ success: false }, { success: false }, { success: false }])
  assert.is(bench.machine.get(7n), 9n)
})

test("atomic's snapshot is a line of text for each id, and an id exists from the first attempt to set it", () => {
  const bench = new MachineBench(AtomicMachine)
  // id 8, expecting 1: it is 0
  bench.apply(hex('02 0807 1005'), hex('03 0808 1001 1809'), hex('02 08 ff ff ff ff ff ff ff ff ff 01 1001'))
  assert.is(bench.save().toString(), '7 5\n8 0\n-1 1\n')

  const again = new MachineBench(AtomicMachine)
  assert.is(again.load(Buffer.from('-1 1\n8 0\n7 5\n')).toString(), 'OK')
  assert.is(again.hash().sha256, bench.hash().sha256, 'in whatever order braft wrote them')
  assert.is(again.load(Buffer.from('-1 1\nseven 5\n')).code, ErrorCode.ECORRUPT)
  assert.is(again.machine.get(7n), 5n, 'a bad snapshot changes nothing')
})

test('a snapshot of atomic that takes many reads keeps every line whole', () => {
  const lines = Array.from({ length: 40_000 }, (_, i) => `${i} ${i * 1_000_003}\n`).join('')
  assert.ok(lines.length > 512 * 1024)
  const bench = new MachineBench(AtomicMachine)
  assert.is(bench.load(Buffer.from(lines)).toString(), 'OK')
  assert.is(bench.save().toString(), lines)
})

const write = (offset: number, data: Buffer) => {
  const request = offset < 128 ? Buffer.of(8, offset) : Buffer.concat([Buffer.of(8), varint(offset)])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(request.length)
  return Buffer.concat([length, request, data])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128)
  return Buffer.of(...bytes, value)
}

test('block writes at any offset, and its snapshot is the device as one file', () => {
  const bench = new MachineBench(BlockMachine)
  const device = Buffer.alloc(20_000)
  const writes: [number, string][] = [
    [10, 'hello'],
    [4094, 'across'],
    [12, 'LL'],
    [19_990, 'at the end'],
  ]
  for (const [offset, text] of writes) {
    device.write(text, offset)
    assert.equal(bench.apply(write(offset, Buffer.from(text))).map(plain), [{ success: true }])
  }
  assert.equal(bench.machine.read(0, 20_000), device)
  assert.equal(bench.machine.read(19_998, 6), Buffer.from('nd\0\0\0\0'), 'zeros behind the end')
  assert.equal(bench.save(), device)

  const again = new MachineBench(BlockMachine)
  assert.is(again.load(device).toString(), 'OK')
  assert.equal(again.save(), device)
  assert.is(again.hash().sha256, bench.hash().sha256)
})

test('what a snapshot or a hash of block began with stays as it was', () => {
  const bench = new MachineBench(BlockMachine)
  bench.apply(write(0, Buffer.from('before')))
  const before = bench.hash()
  bench.machine.onConfigurationCommitted(undefined as never, logIndex(50))
  bench.apply(write(0, Buffer.from('behind')))
  assert.is(bench.hashAt(logIndex(50)).sha256, before.sha256)
  assert.is.not(bench.hash().sha256, before.sha256)
})

test('block stops where a write lies off the device, as braft does', () => {
  const bench = new MachineBench(BlockMachine)
  assert.throws(() => bench.apply(write(2 ** 45, Buffer.from('x'))), /off the device/)
  assert.equal(bench.apply(hex('00 00 00 09 08')).map(plain), [{ success: false }], 'no command: ignored')
})

test('each machine can be spoilt, and the hash tells', () => {
  const counter = new MachineBench(CounterMachine)
  const atomic = new MachineBench(AtomicMachine)
  const block = new MachineBench(BlockMachine)
  assert.not.ok(atomic.machine.spoil())
  assert.not.ok(block.machine.spoil())
  atomic.apply(hex('02 0807 1005'))
  block.apply(write(0, Buffer.from('x')))
  for (const bench of [counter, atomic, block]) {
    const before = bench.hash().sha256
    assert.ok(bench.machine.spoil())
    assert.is.not(bench.hash().sha256, before)
  }
})

test('commands are told in words', () => {
  const say = (kind: 'counter' | 'atomic' | 'block', data: Buffer) => {
    const text = describerOf(kind)(data)
    return text && `${text.operation} ${text.summary}`
  }
  assert.is(say('counter', hex('08 05')), 'add 5')
  assert.is(say('counter', hex('ff')), null)
  assert.is(say('atomic', hex('01 0807')), 'get 7')
  assert.is(say('atomic', hex('02 0807 1005')), 'exchange 7 → 5')
  assert.is(say('atomic', hex('03 0807 1005 1809')), 'compare_exchange 7 5 → 9')
  assert.is(say('block', write(4096, Buffer.from('abc'))), 'write 3 bytes at 4096')
  assert.is(say('block', hex('00')), null)
})

test.run()
