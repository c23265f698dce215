import type { etcdserverpb, mvccpb } from '../../generated/kv.js'
import { fromInt64 } from '../../raft/types.js'
import { MAX_MESSAGE_BYTES } from '../../rpc/grpc.js'
import { KvCalls, type KvClientOptions } from './client-calls.js'
import { RefusedError } from './client-error.js'
import { TOO_LARGE } from './failure.js'
import { prefixEnd } from './keys.js'

export type { KvClientOptions } from './client-calls.js'
export * from './client-error.js'

/** A key or a value: text is sent as UTF-8. */
export type KvBytes = string | Uint8Array

/** A key as it stands at one revision. Revisions number the changes of the whole store, as in etcd. */
export interface KvItem {
  readonly key: Buffer
  readonly value: Buffer
  /** Revision that created it. */
  readonly createRevision: number
  /** Revision that changed it last: what `cas` compares. */
  readonly modRevision: number
  /** How often it was put since it was created. */
  readonly version: number
  /** Lease that it belongs to; 0 without one. */
  readonly lease: number
}

/** What a read may see: see `KvReadOptions.consistency`. */
export type KvConsistency = 'linearizable' | 'lease' | 'stale'

/** How a read is made. */
export interface KvReadOptions {
  /** A past revision; the newest when left out. */
  readonly revision?: number
  /** linearizable (default) sees every acknowledged write; lease too, by the clock of a leader that holds a lease; stale is the asked member's own state, also without a leader. */
  readonly consistency?: KvConsistency
}

/** Which part of a range is listed. */
export interface KvListOptions extends KvReadOptions {
  /** At most so many keys; 0 (default): all. */
  readonly limit?: number
  readonly keysOnly?: boolean
  /** Only keys above this one. */
  readonly after?: KvBytes
}

/** What `cas` expects to find. */
export type KvExpectation = { readonly value: KvBytes } | { readonly modRevision: number } | { readonly absent: true }

const Target = { CREATE: 1, MOD: 2, VALUE: 3 } as const
const EMPTY = Buffer.alloc(0)

/**
 * A client of the key-value machine, as the commands use it.
 *
 *     const kv = new KvClient({ endpoints: ['10.0.0.1:7001', '10.0.0.2:7001'] })
 *     await kv.put('greeting', 'hello')
 *     const { item } = await kv.get('greeting')
 *
 * Any member takes a call and passes it to the leader; where one does not answer the next is asked, until the time is over. The client
 * names itself and numbers its writes, so that one that is sent again is applied once. Calls may be made at the same time.
 *
 * Every method throws a KvClientError: RefusedError with the servers' code, UnreachableError when nothing was sent,
 * OutcomeUnknownError when a write may have been applied.
 */
export class KvClient {
  private readonly calls: KvCalls

  constructor(options: KvClientOptions) {
    this.calls = new KvCalls(options)
  }

  /** Sets a key. Answers the revision of that, and what the key was before. */
  async put(key: KvBytes, value: KvBytes): Promise<{ revision: number; previous: KvItem | null }> {
    const response = await this.calls.write('Put', { key: bytesOf(key), value: sendable(value), prev_kv: true })
    return { revision: revisionOf(response), previous: response.prev_kv ? itemOf(response.prev_kv) : null }
  }

  /** Reads a key: null where there is none, and at which revision that is so. */
  async get(key: KvBytes, options: KvReadOptions = {}): Promise<{ item: KvItem | null; revision: number }> {
    const response = await this.calls.read('Range', { key: bytesOf(key), ...readFields(options) }, options.consistency)
    const [kv] = response.kvs ?? []
    return { item: kv ? itemOf(kv) : null, revision: revisionOf(response) }
  }

  /** Removes a key. */
  async del(key: KvBytes): Promise<{ deleted: number; revision: number }> {
    return await this.deleteRange({ key: bytesOf(key) })
  }

  /** Removes every key that starts with `prefix`; an empty prefix is every key. */
  async delPrefix(prefix: KvBytes): Promise<{ deleted: number; revision: number }> {
    return await this.deleteRange(prefixRange(prefix))
  }

  /** Keys that start with `prefix` in order, and how many there are in all. */
  async list(prefix: KvBytes, options: KvListOptions = {}): Promise<{ items: KvItem[]; more: boolean; count: number; revision: number }> {
    const { key, range_end } = prefixRange(prefix)
    const after = options.after === undefined ? null : bytesOf(options.after)
    const start = after && Buffer.compare(after, key) >= 0 ? Buffer.concat([after, Buffer.from([0])]) : key
    const response = await this.calls.read(
      'Range',
      {
        key: start,
        range_end,
        limit: options.limit ?? 0,
        keys_only: options.keysOnly ?? false,
        ...readFields(options),
      },
      options.consistency,
    )
    const items = (response.kvs ?? []).map(itemOf)
    return { items, more: response.more ?? false, count: fromInt64(response.count), revision: revisionOf(response) }
  }

  /** Puts `value` if the key is as expected; else changes nothing and says what the key is (null: absent). */
  async cas(
    key: KvBytes,
    expected: KvExpectation,
    value: KvBytes,
  ): Promise<{ swapped: boolean; current: KvItem | null; revision: number }> {
    const bytes = bytesOf(key)
    const response = await this.txn({
      compare: [compareOf(bytes, expected)],
      success: [{ request_put: { key: bytes, value: sendable(value) } }, { request_range: { key: bytes } }],
      failure: [{ request_range: { key: bytes } }],
    })
    const [kv] = response.responses?.at(-1)?.response_range?.kvs ?? []
    return { swapped: response.succeeded === true, current: kv ? itemOf(kv) : null, revision: revisionOf(response) }
  }

  /** A transaction in etcd's words (`TxnRequest` of its kv.proto): all of it is applied at one revision, or nothing. */
  async txn(request: etcdserverpb.TxnRequest.$Properties): Promise<etcdserverpb.TxnResponse.$Properties> {
    return await this.calls.write('Txn', request)
  }

  /** Forgets what keys were before `revision`. */
  async compact(revision: number): Promise<void> {
    await this.calls.write('Compact', { revision })
  }

  /** Closes the connections. Calls under way fail. */
  close(): void {
    this.calls.close()
  }

  private async deleteRange(request: { key: Buffer; range_end?: Buffer }): Promise<{ deleted: number; revision: number }> {
    const response = await this.calls.write('DeleteRange', request)
    return { deleted: fromInt64(response.deleted), revision: revisionOf(response) }
  }
}

/** What no message can carry is certainly not applied; what a member takes is for it to say. */
function sendable(value: KvBytes): Buffer {
  const bytes = bytesOf(value)
  if (bytes.length > MAX_MESSAGE_BYTES / 2) throw new RefusedError(TOO_LARGE)
  return bytes
}

function bytesOf(bytes: KvBytes): Buffer {
  if (typeof bytes === 'string') return Buffer.from(bytes)
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** etcd's way to say "all keys": from the zero byte on. */
function prefixRange(of: KvBytes): { key: Buffer; range_end: Buffer } {
  const prefix = bytesOf(of)
  const start = prefix.length === 0 ? Buffer.from([0]) : prefix
  return { key: start, range_end: prefix.length === 0 ? Buffer.from([0]) : prefixEnd(prefix) }
}

function compareOf(key: Buffer, expected: KvExpectation): etcdserverpb.Compare.$Properties {
  if ('absent' in expected) return { key, target: Target.CREATE, create_revision: 0 }
  if ('modRevision' in expected) return { key, target: Target.MOD, mod_revision: expected.modRevision }
  return { key, target: Target.VALUE, value: bytesOf(expected.value) }
}

function readFields({ revision = 0, consistency = 'linearizable' }: KvReadOptions) {
  return { revision, serializable: consistency === 'stale' }
}

function itemOf(kv: mvccpb.KeyValue.$Properties): KvItem {
  return {
    key: Buffer.from(kv.key ?? EMPTY),
    value: Buffer.from(kv.value ?? EMPTY),
    createRevision: fromInt64(kv.create_revision),
    modRevision: fromInt64(kv.mod_revision),
    version: fromInt64(kv.version),
    lease: fromInt64(kv.lease),
  }
}

function revisionOf(response: { header?: etcdserverpb.ResponseHeader.$Properties | null }): number {
  return fromInt64(response.header?.revision)
}
