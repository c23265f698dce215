import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { raftctl } from '../../../src/generated/kv.js'
import type { Answer } from '../../../src/machines/kv/sessions.js'
import { KvClosure } from '../../../src/machines/kv/state-machine.js'
import type { Closure } from '../../../src/raft/closure.js'
import type { Iterator } from '../../../src/raft/raft.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { b, encode, entry } from './commands.js'
import { applyNext, newMachine } from './fakes.js'

/** What FSMCaller hands over, from an array. */
class ArrayIterator implements Iterator {
  private at = 0

  constructor(
    private readonly first: number,
    private readonly entries: readonly { data: Uint8Array; done?: Closure }[],
  ) {}

  valid = () => this.at < this.entries.length
  next = () => void this.at++
  index = () => logIndex(this.first + this.at)
  term = () => asTerm(3)
  data = () => Buffer.from(this.entries[this.at]?.data ?? [])
  done = () => this.entries[this.at]?.done ?? null
  setErrorAndRollback = () => assert.unreachable('the machine never fails')
}

const encodeAnswer = (answer: Answer) => Buffer.from(raftctl.kv.Answer.encode(answer).finish()).toString('hex')

test('two machines that apply the same log, batched differently, end equal and answer the same', () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 60 }), fc.integer({ min: 1, max: 9 }), (log, batch) => {
      const run = (size: number) => {
        const machine = newMachine()
        const answers: string[] = []
        for (let from = 0; from < log.length; from += size) {
          const entries = log.slice(from, from + size).map((data) => ({
            data,
            done: new KvClosure((status, answer) => {
              assert.ok(status.ok)
              answers.push(encodeAnswer(answer ?? {}))
            }),
          }))
          machine.onApply(new ArrayIterator(from + 1, entries))
        }
        return { answers, hash: machine.stateHash(), applied: machine.appliedIndex }
      }
      const one = run(1)
      assert.equal(run(batch), one)
      assert.is(one.answers.length, log.length)
      assert.is(one.applied, log.length)
    }),
    { numRuns: 150 },
  )
})

test('the state hash tells apart any difference that can be read later', () => {
  const hashes = new Set<string>()
  const variants: raftctl.kv.Command.$Properties[][] = [
    [],
    [{ put: { key: b('a'), value: b('1') } }],
    [{ put: { key: b('a'), value: b('2') } }],
    [{ put: { key: b('a1'), value: b('') } }],
    [{ put: { key: b('a'), value: b('0') } }, { put: { key: b('a'), value: b('1') } }],
    [{ put: { key: b('a'), value: b('1') } }, { compact: { revision: 2 } }],
    [{ client_id: 'x', sequence: 1, put: { key: b('a'), value: b('1') } }],
    [{ leader_time_ms: 5, put: { key: b('a'), value: b('1') } }],
  ]
  for (const commands of variants) {
    const machine = newMachine()
    for (const one of commands) applyNext(machine, encode(one))
    hashes.add(machine.stateHash())
  }
  assert.is(hashes.size, variants.length)
})

test('how far compaction has freed memory is not part of the state', () => {
  for (const last of [{ delete_range: { key: b('k3') } }, { put: { key: b('k1'), value: b('end') } }]) {
    const lazy = newMachine()
    const eager = newMachine()
    for (const machine of [lazy, eager]) {
      for (let i = 0; i < 1000; i++) applyNext(machine, encode({ put: { key: b(`k${i % 7}`), value: b(String(i)) } }))
      applyNext(machine, encode({ delete_range: { key: b('k2') } }))
      applyNext(machine, encode(last))
      applyNext(machine, encode({ compact: { revision: machine.store.revision } }))
    }
    for (let i = 0; i < 50; i++) eager.store.begin().end()
    assert.is(eager.stateHash(), lazy.stateHash())
  }
})

test('an entry that is no command is answered with an error, and applying goes on', () => {
  const machine = newMachine()
  const codes: (string | undefined)[] = []
  const done = () => new KvClosure((_status, answer) => codes.push(answer?.error?.code))
  const put = encode({ put: { key: b('a'), value: b('1') } })
  const entries = [Buffer.from([0xff, 0xff, 0xff]), Buffer.alloc(0), put.subarray(0, put.length - 1), put].map((data) => ({
    data,
    done: done(),
  }))
  machine.onApply(new ArrayIterator(1, entries))
  assert.equal(codes, ['E_UNKNOWN_COMMAND', 'E_UNKNOWN_COMMAND', 'E_UNKNOWN_COMMAND', undefined])
  assert.is(machine.store.revision, 2)
})

test('state does not share memory with the log', () => {
  const machine = newMachine()
  const data = Buffer.from(encode({ put: { key: b('key'), value: b('value') } }))
  applyNext(machine, data)
  data.fill(0)
  assert.is(machine.store.get('key')?.value.toString(), 'value')
})

test('a flipped byte shows in the state hash of this member only', () => {
  const machines = [newMachine(), newMachine()] as const
  for (const machine of machines) applyNext(machine, encode({ put: { key: b('a'), value: b('1') } }))
  assert.equal(machines[0].flipByte(), b('a'))
  assert.is.not(machines[0].stateHash(), machines[1].stateHash())
})

test('whoever watches leadership is told until it stops watching', () => {
  const machine = newMachine()
  let told = 0
  const stop = machine.watchLeadership(() => told++)
  machine.onLeaderStart(asTerm(4))
  machine.onLeaderStop()
  stop()
  machine.onLeaderStart(asTerm(5))
  assert.is(told, 2)
  assert.is(machine.term, 5)
})

test.run()
