import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { canonicalRecords, type FrozenState } from '../../../src/machines/kv/canonical.js'
import { PIECE_VERSIONS } from '../../../src/machines/kv/store.js'
import { b, command, encode } from './commands.js'
import { applyNext, newMachine } from './fakes.js'
import { hexOf, streamOf } from './snapshot-files.js'

/** What a machine that was never frozen holds after the same operations: a copy that shares nothing. */
function copyAfter(steps: readonly Step[]): string[] {
  const machine = newMachine()
  for (const step of steps) run(machine, step)
  return streamOf(machine.freeze())
}

type Step = Uint8Array | 'flip' | 'freeze' | { look: number } | { release: number }

function run(machine: ReturnType<typeof newMachine>, step: Step): void {
  if (step instanceof Uint8Array) applyNext(machine, step)
  else if (step === 'flip') machine.flipByte()
}

/** A frozen state that is read a little at a time. */
class Reading {
  readonly seen: string[] = []
  private readonly records

  constructor(
    readonly state: FrozenState,
    readonly expected: string[],
  ) {
    this.records = canonicalRecords(state)
  }

  look(count: number): void {
    for (let i = 0; i < count; i++) {
      const { value } = this.records.next()
      if (value) this.seen.push(hexOf(value))
    }
  }

  finish(): void {
    for (const record of this.records) if (record) this.seen.push(hexOf(record))
    assert.equal(this.seen, this.expected)
    this.state.store.release()
  }
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: command },
  { weight: 1, arbitrary: fc.constant('flip' as const) },
  { weight: 2, arbitrary: fc.constant('freeze' as const) },
  { weight: 3, arbitrary: fc.record({ look: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ release: fc.nat(3) }) },
)

test('a frozen state is that of its moment, whatever is written, compacted and flipped while it is read', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 120 }), (steps) => {
      const machine = newMachine()
      let readings: Reading[] = []
      for (const [i, step] of steps.entries()) {
        run(machine, step)
        if (step === 'freeze') readings.push(new Reading(machine.freeze(), copyAfter(steps.slice(0, i))))
        else if (typeof step === 'object' && 'look' in step) for (const reading of readings) reading.look(step.look)
        else if (typeof step === 'object' && 'release' in step) {
          const reading = readings[step.release]
          reading?.finish()
          readings = readings.filter((other) => other !== reading)
        }
      }
      for (const reading of readings) reading.finish()
      assert.equal(streamOf(machine.freeze()), copyAfter(steps))
    }),
    { numRuns: 300 },
  )
})

test('many keys split, merge and empty nodes of a tree that is frozen', () => {
  const machine = newMachine()
  const write = (i: number) => applyNext(machine, encode({ put: { key: b(`k${(i * 7919) % 3000}`), value: b(String(i)) } }))
  for (let i = 0; i < 3000; i++) write(i)
  const before = streamOf(machine.freeze())
  const reading = new Reading(machine.freeze(), before)
  reading.look(1500)
  for (let i = 0; i < 2000; i++) write(i * 13)
  applyNext(machine, encode({ delete_range: { key: b('k1'), range_end: b('k3') } }))
  applyNext(machine, encode({ compact: { revision: machine.store.revision } }))
  for (let i = 0; i < 200; i++) write(i)
  reading.finish()
})

test('what a frozen state reads is freed once it is released, and not before', () => {
  const machine = newMachine()
  for (let i = 0; i < 10; i++) applyNext(machine, encode({ put: { key: b('k'), value: b(String(i)) } }))
  const first = machine.freeze()
  const second = machine.freeze()
  const previous = () => machine.store.get('k')?.previous ?? null
  const compactAndWrite = () => {
    applyNext(machine, encode({ compact: { revision: machine.store.revision } }))
    applyNext(machine, encode({ put: { key: b('k'), value: b('x') } }))
    applyNext(machine, encode({ put: { key: b('other'), value: b('x') } }))
  }
  compactAndWrite()
  first.store.release()
  compactAndWrite()
  assert.is(previous()?.previous?.previous?.modRevision !== undefined, true, 'the second one still reads it')
  second.store.release()
  compactAndWrite()
  assert.is(previous()?.previous?.previous ?? null, null)
})

test('a session that was frozen keeps its answers while its client goes on', () => {
  const machine = newMachine()
  const send = (sequence: number, acknowledged: number) =>
    applyNext(
      machine,
      encode({
        client_id: 'c',
        sequence,
        acknowledged_through: acknowledged,
        leader_time_ms: sequence,
        put: { key: b('k'), value: b('v') },
      }),
    )
  for (let sequence = 1; sequence <= 4; sequence++) send(sequence, 0)
  const { sessions } = machine.freeze()
  send(5, 4)
  const [session] = sessions.sessions
  assert.equal([...(session?.answers.keys() ?? [])], [1, 2, 3, 4])
  assert.is(session?.acknowledgedThrough, 0)
  assert.is(session?.lastActiveMs, 4)
  assert.equal([...(machine.sessions.get('c')?.answers.keys() ?? [])], [5])
})

test('a long history comes in pieces that depend on nothing but what is in it', () => {
  const machine = newMachine()
  const rewritten = newMachine()
  for (const m of [machine, rewritten]) {
    for (let i = 0; i < 2 * PIECE_VERSIONS + 10; i++) applyNext(m, encode({ put: { key: b('k'), value: b(String(i)) } }))
  }
  for (let i = 0; i < 3; i++) applyNext(machine, encode({ put: { key: b('big'), value: Buffer.alloc(40_000, i) } }))
  for (let i = 0; i < 3; i++) applyNext(rewritten, encode({ put: { key: b('big'), value: Buffer.alloc(40_000, i) } }))
  for (const m of [machine, rewritten]) applyNext(m, encode({ compact: { revision: 6 } }))
  for (let i = 0; i < 20; i++) rewritten.store.begin().end()
  assert.equal(streamOf(rewritten.freeze()), streamOf(machine.freeze()))
  const pieces = [...canonicalRecords(machine.freeze())].flatMap((record) => (record?.key ? [record.key.versions?.length] : []))
  assert.equal(pieces, [2, 1, PIECE_VERSIONS, PIECE_VERSIONS, 6])
})

test.run()
