import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KvFailure } from '../../../src/machines/kv/failure.js'
import { encodeCommand } from '../../../src/machines/kv/forwarding.js'
import * as sessions from '../../../src/machines/kv/sessions.js'
import type { KvStateMachine } from '../../../src/machines/kv/state-machine.js'
import { applyNext, newMachine } from './fakes.js'

const b = (text: string) => Buffer.from(text)

interface Sent {
  readonly client?: string
  readonly sequence?: number
  readonly acknowledged?: number
  readonly at?: number
  readonly key?: string
}

function command({ client, sequence = 1, acknowledged = 0, at = 0, key = 'k' }: Sent): Uint8Array {
  const session = client === undefined ? null : { clientId: client, sequence, acknowledgedThrough: acknowledged }
  return encodeCommand({ put: { key: b(key), value: b('v') } }, { session }, at)
}

const version = (machine: KvStateMachine, key: string) => machine.store.get(key)?.version ?? 0
const apply = (machine: KvStateMachine, sent: Sent) => applyNext(machine, command(sent))
const refusedWith = (answer: sessions.Answer, failure: KvFailure) =>
  assert.is(answer.error?.code, failure.code, answer.error?.message ?? 'not refused')

test('a duplicate gets the first answer and is not applied again', () => {
  const machine = newMachine()
  const first = apply(machine, { client: 'c' })
  apply(machine, { key: 'other' })
  assert.is(apply(machine, { client: 'c' }), first)
  assert.is(first.put?.header?.revision, 2)
  assert.is(version(machine, 'k'), 1)
})

test('a client that does not name itself is applied once per call', () => {
  const machine = newMachine()
  apply(machine, {})
  apply(machine, {})
  assert.is(version(machine, 'k'), 2)
})

test('an unknown client must begin with sequence 1', () => {
  const machine = newMachine()
  const answer = apply(machine, { client: 'c', sequence: 2 })
  refusedWith(answer, sessions.SESSION_EXPIRED)
  assert.is(answer.error?.applied, 'unknown')
  assert.is(machine.store.revision, 1)
  assert.is(machine.sessions.size, 0)
})

test('acknowledged answers are forgotten and their sequences refused', () => {
  const machine = newMachine()
  for (let sequence = 1; sequence <= 5; sequence++) apply(machine, { client: 'c', sequence })
  apply(machine, { client: 'c', sequence: 6, acknowledged: 4 })
  assert.equal([...(machine.sessions.get('c')?.answers.keys() ?? [])], [5, 6])
  refusedWith(apply(machine, { client: 'c', sequence: 3 }), sessions.ALREADY_ACKNOWLEDGED)
  assert.is(version(machine, 'k'), 6)
})

test('a stamp that makes no sense is refused without a session', () => {
  const machine = newMachine()
  for (const sent of [{ sequence: 0 }, { sequence: 1, acknowledged: 1 }, { client: 'x'.repeat(65) }]) {
    refusedWith(apply(machine, { client: 'c', ...sent }), sessions.BAD_SESSION)
  }
  assert.is(machine.sessions.size, 0)
})

test('a client keeps at most 1,024 answers', () => {
  const machine = newMachine()
  for (let sequence = 1; sequence <= 1024; sequence++) assert.is(apply(machine, { client: 'c', sequence }).error, undefined)
  refusedWith(apply(machine, { client: 'c', sequence: 1025 }), sessions.TOO_MANY_ANSWERS)
  assert.is(apply(machine, { client: 'c', sequence: 1025, acknowledged: 1 }).error, undefined)
})

test('sessions go in order of last use, never younger than the longest deadline', () => {
  const machine = newMachine()
  const old = sessions.CALL_TIMEOUT_MAX_MS
  for (let i = 0; i < sessions.SESSIONS_KEPT + 2; i++) apply(machine, { client: `c${i}`, at: i })
  apply(machine, { client: 'c0', sequence: 2, at: 5000 })

  apply(machine, { at: old + 1 })
  assert.is(machine.sessions.size, sessions.SESSIONS_KEPT + 2, 'c1 was used exactly the longest deadline ago')
  apply(machine, { at: old + 2 })
  assert.is(machine.sessions.get('c1'), undefined)
  assert.ok(machine.sessions.get('c0'), 'used later')
  apply(machine, { at: old + 10_000 })
  assert.is(machine.sessions.size, sessions.SESSIONS_KEPT, 'no more than needed')
  refusedWith(apply(machine, { client: 'c1', sequence: 2, at: old }), sessions.SESSION_EXPIRED)
})

test('the time of the table never runs back', () => {
  const machine = newMachine()
  apply(machine, { client: 'a', at: 10_000 })
  apply(machine, { client: 'b', at: 3 })
  assert.is(machine.sessions.nowMs, 10_000)
  assert.is(machine.sessions.get('b')?.lastActiveMs, 10_000)
})

test('above the hard limit no session opens until one may go', () => {
  const table = new sessions.SessionTable()
  const open = (client: string) => {
    const admitted = table.admit({ clientId: client, sequence: 1, acknowledgedThrough: 0 })
    if ('session' in admitted) table.remember(admitted.session, 1, {})
    return admitted
  }
  for (let i = 0; i < sessions.SESSIONS_MAX; i++) open(`c${i}`)
  const refused = open('one more')
  assert.is('refused' in refused && refused.refused, sessions.TOO_MANY_SESSIONS)
  table.nowMs = sessions.CALL_TIMEOUT_MAX_MS + 1
  assert.ok('session' in open('one more'))
  assert.is(table.get('c0'), undefined)
})

test('whatever is duplicated or comes late, each command is applied at most once, and those answered exactly once', () => {
  const delivery = fc.record({ client: fc.nat(2), sequence: fc.integer({ min: 1, max: 8 }), acknowledged: fc.nat(8) })
  fc.assert(
    fc.property(fc.array(delivery, { maxLength: 60 }), (deliveries) => {
      const machine = newMachine()
      const answered = new Map<string, unknown>()
      for (const { client, sequence, acknowledged } of deliveries) {
        const key = `${client}/${sequence}`
        const answer = apply(machine, { client: `c${client}`, sequence, acknowledged: Math.min(acknowledged, sequence - 1), key })
        if (answer.error) continue
        if (answered.has(key)) assert.is(answer, answered.get(key))
        answered.set(key, answer)
      }
      for (const key of answered.keys()) assert.is(version(machine, key), 1)
      assert.is(machine.store.revision, 1 + answered.size)
    }),
    { numRuns: 300 },
  )
})

test.run()
