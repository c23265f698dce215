import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { etcdserverpb } from '../../../src/generated/kv.js'
import { KvFailure } from '../../../src/machines/kv/failure.js'
import { executeDeleteRange, executePut, executeRange, executeTxn } from '../../../src/machines/kv/operations.js'
import { KvStore } from '../../../src/machines/kv/store.js'
import { checkTxn } from '../../../src/machines/kv/validate.js'

// The store against a model that keeps every revision as a whole map and looks at every key for every question.

type Op = etcdserverpb.RequestOp.$Properties
type Compare = etcdserverpb.Compare.$Properties
type Range = etcdserverpb.RangeRequest.$Properties

interface Entry {
  key: string
  create: number
  mod: number
  version: number
  value: string
}

class Model {
  revisions: Map<string, Entry>[] = [new Map(), new Map()]
  compacted = -1

  get revision(): number {
    return this.revisions.length - 1
  }

  write(change: (state: Map<string, Entry>, revision: number) => boolean): void {
    const state = new Map(this.revisions[this.revision])
    if (change(state, this.revision + 1)) this.revisions.push(state)
  }
}

const hex = (bytes: Uint8Array | null | undefined) => Buffer.from(bytes ?? []).toString('hex')

function within(key: string, start: Uint8Array, end: Uint8Array): boolean {
  const bytes = Buffer.from(key, 'hex')
  if (end.length === 0) return Buffer.compare(bytes, start) === 0
  return Buffer.compare(bytes, start) >= 0 && (hex(end) === '00' || Buffer.compare(bytes, end) < 0)
}

function select(state: Map<string, Entry>, start: Uint8Array, end: Uint8Array): Entry[] {
  return [...state.values()]
    .filter((entry) => within(entry.key, start, end))
    .sort((a, b) => Buffer.compare(Buffer.from(a.key, 'hex'), Buffer.from(b.key, 'hex')))
}

function put(state: Map<string, Entry>, revision: number, key: Uint8Array, value: Uint8Array): void {
  const old = state.get(hex(key))
  const create = old?.create ?? revision
  state.set(hex(key), { key: hex(key), create, mod: revision, version: (old?.version ?? 0) + 1, value: hex(value) })
}

function rangeOf(model: Model, state: Map<string, Entry>, request: Range): { kvs: Entry[]; more: boolean; count: number } | 'refused' {
  const at = Number(request.revision)
  if (at > model.revision || (at > 0 && at < model.compacted)) return 'refused'
  const all = select(
    at > 0 ? (model.revisions[at] as Map<string, Entry>) : state,
    request.key as Uint8Array,
    request.range_end as Uint8Array,
  )
  const bound = (value: number, min: unknown, max: unknown) => (!min || value >= Number(min)) && (!max || value <= Number(max))
  let kvs = all.filter(
    (entry) =>
      bound(entry.mod, request.min_mod_revision, request.max_mod_revision) &&
      bound(entry.create, request.min_create_revision, request.max_create_revision),
  )
  const order = request.sort_order || (request.sort_target ? 1 : 0)
  const field = [(e: Entry) => e.key, (e: Entry) => e.version, (e: Entry) => e.create, (e: Entry) => e.mod, (e: Entry) => e.value]
  const pick = field[request.sort_target ?? 0] as (e: Entry) => string | number
  const compare = (a: Entry, b: Entry) => (pick(a) < pick(b) ? -1 : pick(a) > pick(b) ? 1 : 0)
  if (order !== 0) kvs = kvs.map((e) => e).sort((a, b) => (order === 2 ? -compare(a, b) : compare(a, b)))
  const limit = Number(request.limit)
  const more = limit > 0 && kvs.length > limit
  return { kvs: request.count_only ? [] : more ? kvs.slice(0, limit) : kvs, more: more && !request.count_only, count: all.length }
}

function plain(response: etcdserverpb.RangeResponse.$Properties | KvFailure) {
  if (response instanceof KvFailure) return 'refused'
  const kvs = (response.kvs ?? []).map((kv) => ({
    key: hex(kv.key),
    create: kv.create_revision,
    mod: kv.mod_revision,
    version: kv.version,
    value: hex(kv.value),
  }))
  return { kvs, more: response.more, count: response.count }
}

function holds(state: Map<string, Entry>, compare: Compare): boolean {
  const entries = select(state, compare.key as Uint8Array, compare.range_end as Uint8Array)
  const sign = (entry: Entry | undefined): number => {
    const number = (a: number | undefined, b: unknown) => Math.sign((a ?? 0) - Number(b))
    if (compare.target === 0) return number(entry?.version, compare.version)
    if (compare.target === 1) return number(entry?.create, compare.create_revision)
    if (compare.target === 2) return number(entry?.mod, compare.mod_revision)
    return Buffer.compare(Buffer.from(entry?.value ?? '', 'hex'), compare.value as Uint8Array)
  }
  const wanted = (s: number) => [s === 0, s > 0, s < 0, s !== 0][compare.result as number] === true
  if (entries.length === 0) return compare.target !== 3 && wanted(sign(undefined))
  return entries.every((entry) => wanted(sign(entry)))
}

const key = fc.uint8Array({ minLength: 1, maxLength: 2 }).map((bytes) => bytes.map((b) => [0, 1, 127, 128, 254, 255][b % 6] as number))
const end = fc.oneof(
  { weight: 3, arbitrary: fc.constant(new Uint8Array(0)) },
  { weight: 1, arbitrary: fc.constant(new Uint8Array(1)) },
  key,
)
const value = fc.uint8Array({ maxLength: 2 })
const small = fc.nat(6)
const range: fc.Arbitrary<Range> = fc.record({
  key,
  range_end: end,
  limit: fc.nat(3),
  revision: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(14)),
  sort_order: fc.nat(2),
  sort_target: fc.nat(4),
  count_only: fc.boolean(),
  min_mod_revision: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, small),
  max_mod_revision: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, small),
  min_create_revision: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, small),
  max_create_revision: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, small),
})
const compare: fc.Arbitrary<Compare> = fc.record({
  key,
  range_end: end,
  result: fc.nat(3),
  target: fc.nat(3),
  version: small,
  create_revision: small,
  mod_revision: small,
  value,
})
const simpleOp: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ request_put: fc.record({ key, value }) }),
  fc.record({ request_delete_range: fc.record({ key, range_end: end }) }),
  fc.record({ request_range: range }),
)
const txnOf = (op: fc.Arbitrary<Op>) =>
  fc.record({
    compare: fc.array(compare, { maxLength: 2 }),
    success: fc.array(op, { maxLength: 3 }),
    failure: fc.array(op, { maxLength: 3 }),
  })
const txn = txnOf(fc.oneof({ weight: 4, arbitrary: simpleOp }, { weight: 1, arbitrary: fc.record({ request_txn: txnOf(simpleOp) }) }))
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ put: fc.record({ key, value }) }) },
  { weight: 2, arbitrary: fc.record({ del: fc.record({ key, range_end: end }) }) },
  { weight: 3, arbitrary: fc.record({ txn }) },
  { weight: 1, arbitrary: fc.record({ compact: fc.nat(14) }) },
  { weight: 4, arbitrary: fc.record({ range }) },
)

/** Runs a transaction in the model; null when one of its reads is refused. */
function runTxn(model: Model, request: etcdserverpb.TxnRequest.$Properties): unknown[] | null {
  const answers: unknown[] = []
  let refused = false
  const before = model.revisions[model.revision] as Map<string, Entry>
  model.write((state, revision) => {
    let changed = false
    const run = (t: etcdserverpb.TxnRequest.$Properties) => {
      const succeeded = (t.compare ?? []).every((c) => holds(before, c))
      answers.push(succeeded)
      for (const op of (succeeded ? t.success : t.failure) ?? []) {
        if (op.request_put) {
          put(state, revision, op.request_put.key as Uint8Array, op.request_put.value as Uint8Array)
          changed = true
        } else if (op.request_delete_range) {
          const gone = select(state, op.request_delete_range.key as Uint8Array, op.request_delete_range.range_end as Uint8Array)
          for (const entry of gone) state.delete(entry.key)
          changed ||= gone.length > 0
          answers.push(gone.length)
        } else if (op.request_range) {
          const found = rangeOf(model, state, op.request_range)
          refused ||= found === 'refused'
          answers.push(found)
        } else if (op.request_txn) run(op.request_txn)
      }
    }
    run(request)
    return changed && !refused
  })
  return refused ? null : answers
}

function flat(response: etcdserverpb.TxnResponse.$Properties): unknown[] {
  const rest = (response.responses ?? []).flatMap((op): unknown[] => {
    if (op.response_range) return [plain(op.response_range)]
    if (op.response_delete_range) return [op.response_delete_range.deleted]
    return op.response_txn ? flat(op.response_txn) : []
  })
  return [response.succeeded, ...rest]
}

test('a store answers every question as a model that keeps every revision whole', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
      const store = new KvStore()
      const model = new Model()
      for (const s of steps) {
        if ('put' in s) {
          const transaction = store.begin()
          executePut(store, transaction, s.put)
          transaction.end()
          model.write((state, revision) => {
            put(state, revision, s.put.key, s.put.value)
            return true
          })
        } else if ('del' in s) {
          const transaction = store.begin()
          const { deleted } = executeDeleteRange(store, transaction, s.del)
          transaction.end()
          const before = model.revisions[model.revision] as Map<string, Entry>
          const gone = select(before, s.del.key, s.del.range_end)
          model.write((state) => {
            for (const entry of gone) state.delete(entry.key)
            return gone.length > 0
          })
          assert.is(deleted, gone.length)
        } else if ('txn' in s) {
          if (checkTxn(s.txn) !== null) continue
          const transaction = store.begin()
          const response = executeTxn(store, transaction, s.txn)
          if (response instanceof KvFailure) transaction.rollback()
          else transaction.end()
          assert.equal(response instanceof KvFailure ? null : flat(response), runTxn(model, s.txn))
        } else if ('compact' in s) {
          const refused = s.compact <= model.compacted || s.compact > model.revision
          assert.is(store.compact(s.compact) !== null, refused)
          if (!refused) model.compacted = s.compact
        } else {
          const state = model.revisions[model.revision] as Map<string, Entry>
          assert.equal(plain(executeRange(store, s.range)), rangeOf(model, state, s.range))
        }
        assert.is(store.revision, model.revision)
      }
      const all = { key: new Uint8Array([0]), range_end: new Uint8Array([0]), limit: 0, revision: 0 }
      for (let revision = 1; revision <= model.revision; revision++) {
        const state = model.revisions[model.revision] as Map<string, Entry>
        assert.equal(plain(executeRange(store, { ...all, revision })), rangeOf(model, state, { ...all, revision }))
      }
    }),
    { numRuns: 400 },
  )
})

test.run()
