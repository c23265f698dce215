import type { etcdserverpb, mvccpb } from '../../generated/kv.js'
import { fromInt64 } from '../../raft/types.js'
import * as failure from './failure.js'
import { KvFailure } from './failure.js'
import { byteString, bytesOf, compareBytes, keyRange } from './keys.js'
import type { KvStore, Version, WriteTransaction } from './store.js'

type RangeRequest = etcdserverpb.RangeRequest.$Properties
type RangeResponse = etcdserverpb.RangeResponse.$Properties
type PutRequest = etcdserverpb.PutRequest.$Properties
type DeleteRangeRequest = etcdserverpb.DeleteRangeRequest.$Properties
type TxnRequest = etcdserverpb.TxnRequest.$Properties
type TxnResponse = etcdserverpb.TxnResponse.$Properties
type ResponseOp = etcdserverpb.ResponseOp.$Properties
type Compare = etcdserverpb.Compare.$Properties

// etcd's operations on a KvStore. Headers carry the revision alone: the rest differs between members. Requests were
// checked (validate.ts); what depends on the state fails here with a KvFailure, and a transaction is rolled back.

const SortOrder = { NONE: 0, ASCEND: 1, DESCEND: 2 } as const
const SortTarget = { KEY: 0, VERSION: 1, CREATE: 2, MOD: 3, VALUE: 4 } as const
const CompareResult = { EQUAL: 0, GREATER: 1, LESS: 2, NOT_EQUAL: 3 } as const
const NOTHING = Buffer.alloc(0)
const CompareTarget = { VERSION: 0, CREATE: 1, MOD: 2, VALUE: 3, LEASE: 4 } as const

export function keyValue(version: Version, options: { keysOnly?: boolean } = {}): mvccpb.KeyValue.$Properties {
  return {
    key: bytesOf(version.key),
    create_revision: version.createRevision,
    mod_revision: version.modRevision,
    version: version.version,
    value: options.keysOnly ? new Uint8Array(0) : Buffer.from(version.value),
    lease: version.lease,
  }
}

/** `visibleRevision` is the newest one as the reader sees it: inside a transaction its own changes count. */
export function executeRange(store: KvStore, request: RangeRequest, visibleRevision = store.revision): RangeResponse | KvFailure {
  const revision = Math.max(0, fromInt64(request.revision))
  const problem = store.checkRevision(revision)
  if (problem !== null) return problem

  const bounds = revisionBounds(request)
  const order = request.sort_order || (request.sort_target ? SortOrder.ASCEND : SortOrder.NONE)
  const limit = Math.max(0, fromInt64(request.limit))
  // One more than asked for tells whether there are more; filters and other orders need them all.
  const fetch = limit > 0 && order === SortOrder.NONE && bounds === null ? limit + 1 : 0
  const found = store.range(keyRange(request.key, request.range_end), { revision, limit: fetch, countOnly: request.count_only === true })
  let versions = bounds === null ? found.versions : found.versions.filter(bounds)
  if (order !== SortOrder.NONE) sortVersions(versions, request.sort_target ?? SortTarget.KEY, order)
  const more = limit > 0 && versions.length > limit
  if (more) versions = versions.slice(0, limit)
  return {
    header: { revision: visibleRevision },
    kvs: versions.map((version) => keyValue(version, { keysOnly: request.keys_only === true })),
    more,
    count: found.count,
  }
}

export function executePut(
  store: KvStore,
  transaction: WriteTransaction,
  request: PutRequest,
): etcdserverpb.PutResponse.$Properties | KvFailure {
  const key = byteString(request.key)
  const previous = store.get(key)
  if (previous === null && (request.ignore_value || request.ignore_lease)) return failure.KEY_NOT_FOUND
  const lease = request.ignore_lease && previous !== null ? previous.lease : fromInt64(request.lease)
  if (lease !== 0) return failure.LEASE_NOT_FOUND
  transaction.put(key, request.ignore_value && previous !== null ? previous.value : (request.value ?? NOTHING), lease)
  return {
    header: { revision: transaction.revision },
    prev_kv: request.prev_kv && previous !== null ? keyValue(previous) : undefined,
  }
}

export function executeDeleteRange(
  store: KvStore,
  transaction: WriteTransaction,
  request: DeleteRangeRequest,
): etcdserverpb.DeleteRangeResponse.$Properties {
  const { versions } = store.range(keyRange(request.key, request.range_end))
  for (const version of versions) transaction.delete(version)
  return {
    header: { revision: transaction.visibleRevision },
    deleted: versions.length,
    prev_kvs: request.prev_kv ? versions.map((version) => keyValue(version)) : [],
  }
}

/** All comparisons, nested ones too, look at the state before the first operation. */
export function executeTxn(store: KvStore, transaction: WriteTransaction | null, request: TxnRequest): TxnResponse | KvFailure {
  const path: boolean[] = []
  choosePath(store, request, path)
  return runTxn({ store, transaction, path, next: 0 }, request)
}

interface TxnRun {
  readonly store: KvStore
  /** Null for a transaction that only reads. */
  readonly transaction: WriteTransaction | null
  /** Which branch each transaction takes, in the order in which they run. */
  readonly path: readonly boolean[]
  next: number
}

function choosePath(store: KvStore, request: TxnRequest, path: boolean[]): void {
  const succeeded = (request.compare ?? []).every((compare) => holds(store, compare))
  path.push(succeeded)
  for (const op of (succeeded ? request.success : request.failure) ?? []) {
    if (op.request_txn) choosePath(store, op.request_txn, path)
  }
}

function runTxn(run: TxnRun, request: TxnRequest): TxnResponse | KvFailure {
  const succeeded = run.path[run.next++] === true
  const responses: ResponseOp[] = []
  for (const op of (succeeded ? request.success : request.failure) ?? []) {
    const response = runOperation(run, op)
    if (response instanceof KvFailure) return response
    responses.push(response)
  }
  return { header: { revision: visibleRevision(run) }, succeeded, responses }
}

function runOperation(run: TxnRun, op: etcdserverpb.RequestOp.$Properties): ResponseOp | KvFailure {
  const { store, transaction } = run
  if (op.request_range) {
    const response = executeRange(store, op.request_range, visibleRevision(run))
    return response instanceof KvFailure ? response : { response_range: response }
  }
  if (op.request_txn) {
    const response = runTxn(run, op.request_txn)
    return response instanceof KvFailure ? response : { response_txn: response }
  }
  if (transaction === null) return failure.KEY_NOT_FOUND
  if (op.request_put) {
    const response = executePut(store, transaction, op.request_put)
    return response instanceof KvFailure ? response : { response_put: response }
  }
  if (op.request_delete_range) return { response_delete_range: executeDeleteRange(store, transaction, op.request_delete_range) }
  return failure.KEY_NOT_FOUND
}

function visibleRevision(run: TxnRun): number {
  return run.transaction === null ? run.store.revision : run.transaction.visibleRevision
}

function holds(store: KvStore, compare: Compare): boolean {
  const { versions } = store.range(keyRange(compare.key, compare.range_end))
  // A key that is not there has version, revisions and lease 0, but no value, not even an empty one.
  if (versions.length === 0) return compare.target !== CompareTarget.VALUE && satisfies(compare, null)
  return versions.every((version) => satisfies(compare, version))
}

function satisfies(compare: Compare, version: Version | null): boolean {
  const order = compareTarget(compare, version)
  switch (compare.result ?? CompareResult.EQUAL) {
    case CompareResult.EQUAL:
      return order === 0
    case CompareResult.GREATER:
      return order > 0
    case CompareResult.LESS:
      return order < 0
    case CompareResult.NOT_EQUAL:
      return order !== 0
    default:
      return true
  }
}

function compareTarget(compare: Compare, version: Version | null): number {
  switch (compare.target ?? CompareTarget.VERSION) {
    case CompareTarget.VERSION:
      return (version?.version ?? 0) - fromInt64(compare.version)
    case CompareTarget.CREATE:
      return (version?.createRevision ?? 0) - fromInt64(compare.create_revision)
    case CompareTarget.MOD:
      return (version?.modRevision ?? 0) - fromInt64(compare.mod_revision)
    case CompareTarget.VALUE:
      return Buffer.compare(version?.value ?? NOTHING, compare.value ?? NOTHING)
    case CompareTarget.LEASE:
      return (version?.lease ?? 0) - fromInt64(compare.lease)
    default:
      return 0
  }
}

/** Null when the request does not filter by revision. */
function revisionBounds(request: RangeRequest): ((version: Version) => boolean) | null {
  const minMod = fromInt64(request.min_mod_revision)
  const maxMod = fromInt64(request.max_mod_revision)
  const minCreate = fromInt64(request.min_create_revision)
  const maxCreate = fromInt64(request.max_create_revision)
  if (minMod === 0 && maxMod === 0 && minCreate === 0 && maxCreate === 0) return null
  return ({ modRevision, createRevision }) =>
    (minMod === 0 || modRevision >= minMod) &&
    (maxMod === 0 || modRevision <= maxMod) &&
    (minCreate === 0 || createRevision >= minCreate) &&
    (maxCreate === 0 || createRevision <= maxCreate)
}

function sortVersions(versions: Version[], target: number, order: number): void {
  const sign = order === SortOrder.DESCEND ? -1 : 1
  const by = (a: Version, b: Version): number => {
    switch (target) {
      case SortTarget.VERSION:
        return a.version - b.version
      case SortTarget.CREATE:
        return a.createRevision - b.createRevision
      case SortTarget.MOD:
        return a.modRevision - b.modRevision
      case SortTarget.VALUE:
        return Buffer.compare(a.value, b.value)
      default:
        return compareBytes(a.key, b.key)
    }
  }
  versions.sort((a, b) => sign * by(a, b))
}
