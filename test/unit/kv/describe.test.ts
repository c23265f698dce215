import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { describeCommand } from '../../../src/machines/kv/describe.js'
import { encodeMark } from '../../../src/machines/kv/mark.js'
import { b, type Command, encode, entry } from './commands.js'

const describe = (command: Command) => {
  const { type, summary } = describeCommand(encode(command))
  return `${type}: ${summary}`
}
const put = (key: string | Buffer, value: string | Buffer): Command => ({ put: { key: Buffer.from(key), value: Buffer.from(value) } })
const compareValue = (key: string, value: string) => ({ key: b(key), target: 3 as const, value: b(value) })

test('puts and deletions', () => {
  assert.is(describe(put('hello', 'world')), 'put: hello = "world"')
  assert.is(describe(put('two words', 'a "quoted" one')), 'put: "two words" = "a \\"quoted\\" one"')
  assert.is(describe(put('größe', 'ü')), 'put: größe = "ü"')
  assert.is(describe(put('empty', '')), 'put: empty = ""')
  assert.is(describe({ put: { key: b('a'), ignore_value: true } }), 'put: a = its value as it is')
  assert.is(describe({ delete_range: { key: b('a') } }), 'delete: a')
  assert.is(describe({ delete_range: { key: b('users/'), range_end: b('users0') } }), 'delete: keys that start with users/')
  assert.is(describe({ delete_range: { key: b('a'), range_end: b('m') } }), 'delete: keys from a to before m')
  assert.is(describe({ delete_range: { key: b('a'), range_end: Buffer.from([0]) } }), 'delete: keys from a on')
  assert.is(describe({ delete_range: { key: Buffer.from([0]), range_end: Buffer.from([0]) } }), 'delete: every key')
})

test('what is not text, or would steer a terminal, is shown in hex; what is long is cut', () => {
  assert.is(describe(put(Buffer.from([0xff, 0x00, 0x10]), Buffer.from([0xc3, 0x28]))), 'put: 0xff0010 = 0xc328')
  assert.is(describe(put('k', '\u001b[31mred')), 'put: k = 0x1b5b33316d726564')
  assert.is(describe(put('k', 'a\u202eb')), 'put: k = 0x61e280ae62', 'no turning of the direction')
  assert.is(describe(put('k', 'x'.repeat(33))), `put: k = "${'x'.repeat(32)}…" (33 bytes)`)
  assert.is(describe(put('k', 'x'.repeat(32))), `put: k = "${'x'.repeat(32)}"`)
  assert.is(describe(put('k', 'é'.repeat(1000))), `put: k = "${'é'.repeat(32)}…" (2000 bytes)`)
  assert.is(describe(put('k', Buffer.alloc(1000, 0xee))), `put: k = 0x${'ee'.repeat(16)}… (1000 bytes)`)
})

test('a comparison and a put of the same key is a cas', () => {
  const cas = (compare: object): Command => ({
    txn: { compare: [{ key: b('counter'), ...compare }], success: [{ request_put: { key: b('counter'), value: b('42') } }] },
  })
  assert.is(describe(cas({ target: 3, value: b('41') })), 'cas: counter 41 → 42')
  assert.is(describe(cas({ target: 3, value: b('the old one') })), 'cas: counter "the old one" → 42')
  assert.is(describe(cas({ target: 1, create_revision: 0 })), 'cas: counter absent → 42')
  assert.is(describe(cas({ target: 0, version: 0 })), 'cas: counter absent → 42')
  assert.is(describe(cas({ target: 2, mod_revision: 7 })), 'cas: counter of revision 7 → 42')
  assert.is(describe(cas({ target: 3, value: b('41'), result: 1 })), 'txn: if value of counter > "41": put counter = "42"')
})

test('other transactions say what they ask and what they do', () => {
  const success = ['a', 'b', 'c', 'd'].map((key) => ({ request_put: { key: b(key), value: b('1') } }))
  assert.is(describe({ txn: { success } }), 'txn: put a = "1", put b = "1", put c = "1" and 1 more')
  assert.is(
    describe({
      txn: {
        compare: [{ key: b('a'), target: 0, version: 3 }],
        success: [{ request_delete_range: { key: b('a') } }, { request_txn: {} }],
        failure: [{ request_range: { key: b('a') } }],
      },
    }),
    'txn: if version of a = 3: delete a, a transaction; else: get a',
  )
  assert.is(describe({ txn: { compare: [compareValue('a', '1'), compareValue('b', '2')] } }), 'txn: if 2 comparisons hold: nothing')
})

test('compaction, marks, and what is none of it; with the time of the leader', () => {
  assert.is(describe({ compact: { revision: 12 } }), 'compact: forgets what is older than revision 12')
  assert.equal(describeCommand(encodeMark(1700)), { type: 'mark', summary: 'where members hash their state', timeMs: 1700 })
  assert.is(describeCommand(encode({ ...put('a', '1'), leader_time_ms: 1_700_000_000_000 })).timeMs, 1_700_000_000_000)
  assert.is(describeCommand(encode(put('a', '1'))).timeMs, null)
  const unknown = { type: 'unknown', summary: '3 bytes that are no command of this key-value machine', timeMs: null }
  assert.equal(describeCommand(Buffer.from([0xff, 0xff, 0xff])), unknown)
  assert.is(describeCommand(encode({ leader_time_ms: 5 })).type, 'unknown')
  assert.is(describeCommand(Buffer.alloc(0)).type, 'unknown')
})

test('whatever is in a log, the summary is one line that steers no terminal', () => {
  const bytes = fc.uint8Array({ maxLength: 60 }).map((data) => Buffer.from(data))
  const any = fc.oneof(
    entry,
    fc.tuple(bytes, bytes).map(([key, value]) => encode({ put: { key, value } })),
    bytes,
  )
  fc.assert(
    fc.property(any, (data) => {
      const { summary } = describeCommand(data)
      assert.not.match(summary, /[\p{C}\u2028\u2029]/u)
      assert.ok(summary.length < 500 && summary.length > 0)
    }),
    { numRuns: 500 },
  )
})

test.run()
