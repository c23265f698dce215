import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { etcdserverpb } from '../../../src/generated/kv.js'
import * as failure from '../../../src/machines/kv/failure.js'
import { bytesOf, prefixEnd } from '../../../src/machines/kv/keys.js'
import { executeDeleteRange, executePut, executeRange, executeTxn } from '../../../src/machines/kv/operations.js'
import { KvStore } from '../../../src/machines/kv/store.js'
import { checkDeleteRange, checkPut, checkRange, checkTxn } from '../../../src/machines/kv/validate.js'

const b = (text: string) => Buffer.from(text)

function put(store: KvStore, key: string, value: string, fields: etcdserverpb.PutRequest.$Properties = {}) {
  const transaction = store.begin()
  const response = executePut(store, transaction, { key: b(key), value: b(value), ...fields })
  if (response instanceof failure.KvFailure) transaction.rollback()
  else transaction.end()
  return response
}

function ok<T>(response: T | failure.KvFailure): T {
  if (response instanceof failure.KvFailure) throw new Error(response.message)
  return response
}

function del(store: KvStore, key: string, rangeEnd = '') {
  const transaction = store.begin()
  const response = executeDeleteRange(store, transaction, { key: b(key), range_end: b(rangeEnd) })
  transaction.end()
  return response
}

const get = (store: KvStore, key: string, revision = 0) => ok(executeRange(store, { key: b(key), revision })).kvs?.[0]

test('revisions, versions and create revisions follow etcd through put, delete and put', () => {
  const store = new KvStore()
  assert.is(ok(put(store, 'a', '1')).header?.revision, 2)
  put(store, 'a', '2')
  del(store, 'a')
  put(store, 'a', '3')
  assert.is(store.revision, 5)
  const { create_revision, mod_revision, version } = get(store, 'a') ?? {}
  assert.equal({ create_revision, mod_revision, version }, { create_revision: 5, mod_revision: 5, version: 1 })
  assert.is(String(get(store, 'a', 3)?.value), '2')
  assert.is(get(store, 'a', 3)?.version, 2)
  assert.is(get(store, 'a', 4), undefined)
})

test('deleting nothing does not make a revision', () => {
  const store = new KvStore()
  const response = del(store, 'a')
  assert.is(response.deleted, 0)
  assert.is(response.header?.revision, 1)
  assert.is(store.revision, 1)
})

test('a compacted and a future revision are refused with the words of etcd', () => {
  const store = new KvStore()
  for (let i = 0; i < 5; i++) put(store, 'a', String(i))
  assert.is(store.compact(4), null)
  assert.is(executeRange(store, { key: b('a'), revision: 3 }), failure.COMPACTED)
  assert.is(String(get(store, 'a', 4)?.value), '2')
  assert.is(executeRange(store, { key: b('a'), revision: 7 }), failure.FUTURE_REVISION)
  assert.is(store.compact(4), failure.COMPACTED)
  assert.is(store.compact(7), failure.FUTURE_REVISION)
  assert.is(failure.COMPACTED.message, 'etcdserver: mvcc: required revision has been compacted')
  assert.is(failure.COMPACTED.status, 11)
  assert.is(failure.FUTURE_REVISION.status, 11)
})

test('compaction lets go of old versions and of deleted keys, a little per write', () => {
  const store = new KvStore()
  for (let i = 0; i < 1000; i++) put(store, `k${i % 10}`, String(i))
  del(store, 'k', 'l')
  put(store, 'z', '1')
  put(store, 'z', '2')
  store.compact(store.revision)
  assert.equal(
    [...store.freeze().histories()].map((versions) => versions?.map((v) => String(v.value))),
    [['2']],
  )
  for (let i = 0; i < 20; i++) put(store, 'z', 'x')
  const tree = (store as unknown as { keys: { size: number } }).keys
  assert.is(tree.size, 1)
})

test('put fields: previous pair, ignored value, leases that do not exist', () => {
  const store = new KvStore()
  assert.is(put(store, 'a', '', { ignore_value: true }), failure.KEY_NOT_FOUND)
  assert.is(put(store, 'a', 'x', { ignore_lease: true }), failure.KEY_NOT_FOUND)
  assert.is(put(store, 'a', 'x', { lease: 7 }), failure.LEASE_NOT_FOUND)
  assert.is(failure.LEASE_NOT_FOUND.message, 'etcdserver: requested lease not found')
  assert.is(store.revision, 1)
  assert.is(ok(put(store, 'a', '1', { prev_kv: true })).prev_kv, undefined)
  assert.is(String(ok(put(store, 'a', '2', { prev_kv: true })).prev_kv?.value), '1')
  ok(put(store, 'a', '', { ignore_value: true }))
  assert.is(String(get(store, 'a')?.value), '2')
  assert.is(get(store, 'a')?.version, 3)
})

test('limit, more, count, keys only and count only', () => {
  const store = new KvStore()
  for (const key of ['a', 'b', 'c']) put(store, key, key)
  const all = { key: b('a'), range_end: b('z') }
  const two = ok(executeRange(store, { ...all, limit: 2, keys_only: true }))
  assert.equal([two.kvs?.length, two.more, two.count, two.kvs?.[0]?.value?.length], [2, true, 3, 0])
  const three = ok(executeRange(store, { ...all, limit: 3 }))
  assert.equal([three.kvs?.length, three.more], [3, false])
  const counted = ok(executeRange(store, { ...all, count_only: true }))
  assert.equal([counted.kvs?.length, counted.count], [0, 3])
})

test('the limit counts what passes the filters', () => {
  const store = new KvStore()
  for (const key of ['a', 'b', 'c', 'd', 'e']) put(store, key, key)
  const found = ok(executeRange(store, { key: b('a'), range_end: b('z'), min_mod_revision: 4, limit: 2 }))
  assert.equal(
    found.kvs?.map((kv) => String(kv.key)),
    ['c', 'd'],
  )
  assert.equal([found.more, found.count], [true, 5])
})

test('keys are ordered by unsigned bytes, and a prefix range covers exactly the prefix', () => {
  const store = new KvStore()
  for (const bytes of [[0xff], [0x61, 0xff], [0x61], [0x62], [0x80], [0x00]]) {
    const transaction = store.begin()
    executePut(store, transaction, { key: Buffer.from(bytes), value: b('v') })
    transaction.end()
  }
  const keys = (key: number[], end: Buffer) =>
    ok(executeRange(store, { key: Buffer.from(key), range_end: end })).kvs?.map((kv) => Buffer.from(kv.key ?? []).toString('hex'))
  assert.equal(keys([0], Buffer.from([0])), ['00', '61', '61ff', '62', '80', 'ff'])
  assert.equal(keys([0x61], prefixEnd(b('a'))), ['61', '61ff'])
  assert.equal(keys([0xff], prefixEnd(Buffer.from([0xff]))), ['ff'])
  assert.equal(prefixEnd(Buffer.from([0x61, 0xff])), Buffer.from([0x62]))
})

test('what a request alone shows to be wrong is refused as etcd does', () => {
  assert.is(checkPut({ value: b('x') }), failure.EMPTY_KEY)
  assert.is(checkRange({}), failure.EMPTY_KEY)
  assert.is(checkDeleteRange({ range_end: b('x') }), failure.EMPTY_KEY)
  assert.is(checkTxn({ compare: [{}] }), failure.EMPTY_KEY)
  assert.is(checkPut({ key: b('a'), value: b('x'), ignore_value: true }), failure.VALUE_PROVIDED)
  assert.is(checkPut({ key: b('a'), lease: 1, ignore_lease: true }), failure.LEASE_PROVIDED)
  assert.is(checkRange({ key: b('a'), sort_target: 9 as 0 }), failure.INVALID_SORT)
  assert.is(checkTxn({ success: [{}] }), failure.KEY_NOT_FOUND)
  assert.is(failure.EMPTY_KEY.message, 'etcdserver: key is not provided')
  assert.is(failure.EMPTY_KEY.status, 3)
})

test('a transaction puts a key once on any path', () => {
  const p = (key: string) => ({ request_put: { key: b(key), value: b('1') } })
  const d = (key: string, end = '') => ({ request_delete_range: { key: b(key), range_end: b(end) } })
  const t = (success: object[], otherwise: object[] = []) => ({ request_txn: { success, failure: otherwise } })
  assert.is(checkTxn({ success: [p('a'), p('a')] }), failure.DUPLICATE_KEY)
  assert.is(checkTxn({ failure: [d('a', 'c'), p('b')] }), failure.DUPLICATE_KEY)
  assert.is(checkTxn({ success: [p('a'), t([p('a')])] }), failure.DUPLICATE_KEY)
  assert.is(checkTxn({ success: [t([d('a')]), p('a')] }), failure.DUPLICATE_KEY)
  assert.is(checkTxn({ success: [t([p('a')]), t([], [p('a')])] }), failure.DUPLICATE_KEY)
  assert.is(checkTxn({ success: [p('a')], failure: [p('a')] }), null)
  assert.is(checkTxn({ success: [t([p('a')], [p('a')])] }), null)
  assert.is(checkTxn({ success: [d('a', 'c'), p('c'), d('a')] }), null)
  assert.is(failure.DUPLICATE_KEY.message, 'etcdserver: duplicate key given in txn request')
})

test('a transaction has at most 128 operations, nested ones counted along the path', () => {
  const ops = (n: number) => Array.from({ length: n }, (_, i) => ({ request_put: { key: b(`k${i}`) } }))
  assert.is(checkTxn({ success: ops(128) }), null)
  assert.is(checkTxn({ success: ops(129) }), failure.TOO_MANY_OPERATIONS)
  assert.is(checkTxn({ compare: ops(129).map(() => ({ key: b('a') })) }), failure.TOO_MANY_OPERATIONS)
  assert.is(checkTxn({ success: [{ request_txn: { failure: ops(127) } }] }), null)
  assert.is(checkTxn({ success: [{ request_txn: { failure: ops(128) } }] }), failure.TOO_MANY_OPERATIONS)
})

test('comparisons of nested transactions look at the state before the first operation', () => {
  const store = new KvStore()
  const transaction = store.begin()
  const response = ok(
    executeTxn(store, transaction, {
      success: [
        { request_put: { key: b('a'), value: b('1') } },
        {
          request_txn: {
            compare: [{ key: b('a'), target: 0, result: 0, version: 1 }],
            success: [],
            failure: [{ request_range: { key: b('a') } }],
          },
        },
      ],
    }),
  )
  transaction.end()
  const nested = response.responses?.[1]?.response_txn
  assert.is(nested?.succeeded, false)
  assert.is(nested?.responses?.[0]?.response_range?.count, 1, 'but its operations see what was put before')
  assert.is(response.header?.revision, 2)
})

test('comparing the value of a key that is not there fails, whatever the comparison', () => {
  const store = new KvStore()
  for (const result of [0, 1, 2, 3] as const) {
    const response = ok(executeTxn(store, null, { compare: [{ key: b('a'), target: 3, result, value: b('') }] }))
    assert.is(response.succeeded, false)
  }
})

test('a transaction that fails half way leaves no trace', () => {
  const store = new KvStore()
  put(store, 'a', '1')
  const transaction = store.begin()
  const response = executeTxn(store, transaction, {
    success: [
      { request_put: { key: b('a'), value: b('2') } },
      { request_put: { key: b('b'), value: b('2') } },
      { request_put: { key: b('c'), ignore_value: true } },
    ],
  })
  assert.is(response, failure.KEY_NOT_FOUND)
  transaction.rollback()
  assert.is(store.revision, 2)
  assert.is(String(get(store, 'a')?.value), '1')
  assert.is(get(store, 'b'), undefined)
  assert.equal(
    [...store.freeze().histories()].map((v) => v?.length),
    [1],
  )
  assert.is(ok(put(store, 'a', '3')).header?.revision, 3)
})

test('a flipped byte changes what is read here', () => {
  const store = new KvStore()
  assert.is(store.flipByte(), null)
  put(store, 'a', 'a')
  assert.equal(bytesOf(store.flipByte() ?? ''), b('a'))
  assert.is(String(get(store, 'a')?.value), '`')
})

test.run()
