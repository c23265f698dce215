import type { etcdserverpb } from '../../generated/kv.js'
import { fromInt64 } from '../../raft/types.js'
import type { KvFailure } from './failure.js'
import * as failure from './failure.js'
import { type ByteString, byteString, inRange, type KeyRange, keyRange } from './keys.js'

type TxnRequest = etcdserverpb.TxnRequest.$Properties
type RequestOp = etcdserverpb.RequestOp.$Properties

/** Operations in one transaction, nested ones counted along a path (etcd's --max-txn-ops). */
export const TXN_OPERATIONS_MAX = 128

// What etcd refuses by looking at a request alone (server/etcdserver/api/v3rpc/key.go), with etcd's errors. The service
// asks before it proposes; the machine asks again, since anything may be in a log.

export function checkRange(request: etcdserverpb.RangeRequest.$Properties): KvFailure | null {
  if (isEmpty(request.key)) return failure.EMPTY_KEY
  const order = request.sort_order ?? 0
  const target = request.sort_target ?? 0
  return order < 0 || order > 2 || target < 0 || target > 4 ? failure.INVALID_SORT : null
}

export function checkPut(request: etcdserverpb.PutRequest.$Properties): KvFailure | null {
  if (isEmpty(request.key)) return failure.EMPTY_KEY
  if (request.ignore_value && !isEmpty(request.value)) return failure.VALUE_PROVIDED
  if (request.ignore_lease && fromInt64(request.lease) !== 0) return failure.LEASE_PROVIDED
  return null
}

export function checkDeleteRange(request: etcdserverpb.DeleteRangeRequest.$Properties): KvFailure | null {
  return isEmpty(request.key) ? failure.EMPTY_KEY : null
}

export function checkTxn(request: TxnRequest): KvFailure | null {
  const problem = checkOperations(request, TXN_OPERATIONS_MAX)
  if (problem !== null) return problem
  const fine = collectChanges(request.success ?? []) !== null && collectChanges(request.failure ?? []) !== null
  return fine ? null : failure.DUPLICATE_KEY
}

/** Nothing in it writes: it can be answered by a read. */
export function isReadOnly(request: TxnRequest): boolean {
  const reads = (op: RequestOp) => (op.request_txn ? isReadOnly(op.request_txn) : Boolean(op.request_range))
  return (request.success ?? []).every(reads) && (request.failure ?? []).every(reads)
}

/** Every read in it asked for this member's own state. */
export function isSerializable(request: TxnRequest): boolean {
  const serializable = (op: RequestOp): boolean =>
    op.request_txn ? isSerializable(op.request_txn) : op.request_range?.serializable === true
  return (request.success ?? []).every(serializable) && (request.failure ?? []).every(serializable)
}

function checkOperations(request: TxnRequest, operationsMax: number): KvFailure | null {
  const { compare = [], success = [], failure: otherwise = [] } = request
  const count = Math.max(compare.length, success.length, otherwise.length)
  if (count > operationsMax) return failure.TOO_MANY_OPERATIONS
  if (compare.some((c) => isEmpty(c.key))) return failure.EMPTY_KEY
  for (const op of [...success, ...otherwise]) {
    const problem = checkOperation(op, operationsMax - count)
    if (problem !== null) return problem
  }
  return null
}

function checkOperation(op: RequestOp, operationsMax: number): KvFailure | null {
  if (op.request_range) return checkRange(op.request_range)
  if (op.request_put) return checkPut(op.request_put)
  if (op.request_delete_range) return checkDeleteRange(op.request_delete_range)
  if (op.request_txn) return checkOperations(op.request_txn, operationsMax)
  return failure.KEY_NOT_FOUND
}

interface Changes {
  readonly puts: Set<ByteString>
  readonly deletes: KeyRange[]
}

/** Keys put and ranges deleted on any path; null when one path puts a key twice, or deletes it and puts it (etcd's checkIntervals). */
function collectChanges(operations: readonly RequestOp[]): Changes | null {
  const puts = new Set<ByteString>()
  const deletes: KeyRange[] = []
  const taken = (key: ByteString) => deletes.some((range) => inRange(key, range))
  for (const op of operations) {
    if (op.request_delete_range) deletes.push(keyRange(op.request_delete_range.key, op.request_delete_range.range_end))
  }
  for (const op of operations) {
    if (!op.request_txn) continue
    const then = collectChanges(op.request_txn.success ?? [])
    const otherwise = collectChanges(op.request_txn.failure ?? [])
    if (then === null || otherwise === null) return null
    // Only one of the two branches runs: the same key in both is fine.
    const children = new Set([...then.puts, ...otherwise.puts])
    for (const key of children) {
      if (puts.has(key) || taken(key)) return null
    }
    for (const key of children) puts.add(key)
    deletes.push(...then.deletes, ...otherwise.deletes)
  }
  for (const op of operations) {
    if (!op.request_put) continue
    const key = byteString(op.request_put.key)
    if (puts.has(key) || taken(key)) return null
    puts.add(key)
  }
  return { puts, deletes }
}

function isEmpty(bytes: Uint8Array | null | undefined): boolean {
  return !bytes || bytes.length === 0
}
