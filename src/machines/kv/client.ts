import type { etcdserverpb, mvccpb } from '../../generated/kv.js'
import { fromInt64 } from '../../raft/types.js'
import { MAX_MESSAGE_BYTES } from '../../rpc/grpc.js'
import { KvCalls, type KvClientOptions } from './client-calls.js'
import { RefusedError } from './client-error.js'
import { TOO_LARGE } from './failure.js'
import { prefixEnd } from './keys.js'

export type { KvClientOptions } from './client-calls.js'
export * from './client-error.js'

export interface KvItem {
  readonly key: Buffer
  readonly value: Buffer
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  readonly lease: number
}

export type Consistency = 'linearizable' | 'lease' | 'stale'

export interface ReadOptions {
  /** A past revision; the newest when left out. */
  readonly revision?: number
  /** linearizable (default) sees every acknowledged write; lease too, by the clock of a leader that holds a lease; stale is the asked member's own state, also without a leader. */
  readonly consistency?: Consistency
}

export interface ListOptions extends ReadOptions {
  readonly limit?: number
  readonly keysOnly?: boolean
  /** Only keys above this one. */
  readonly after?: Buffer
}

/** What `cas` expects to find. */
export type Expectation = { readonly value: Buffer } | { readonly modRevision: number } | { readonly absent: true }

const Target = { CREATE: 1, MOD: 2, VALUE: 3 } as const
const EMPTY = Buffer.alloc(0)

/**
 * The key-value service as the commands use it. Every method throws a KvClientError: RefusedError with the servers' code,
 * UnreachableError when nothing was sent, OutcomeUnknownError when a write may have been applied.
 */
export class KvClient {
  private readonly calls: KvCalls

  constructor(options: KvClientOptions) {
    this.calls = new KvCalls(options)
  }

  async put(key: Buffer, value: Buffer): Promise<{ revision: number; previous: KvItem | null }> {
    checkSendable(value)
    const response = await this.calls.write('Put', { key, value, prev_kv: true })
    return { revision: revisionOf(response), previous: response.prev_kv ? itemOf(response.prev_kv) : null }
  }

  async get(key: Buffer, options: ReadOptions = {}): Promise<{ item: KvItem | null; revision: number }> {
    const response = await this.calls.read('Range', { key, ...readFields(options) }, options.consistency)
    const [kv] = response.kvs ?? []
    return { item: kv ? itemOf(kv) : null, revision: revisionOf(response) }
  }

  async del(key: Buffer): Promise<{ deleted: number; revision: number }> {
    return await this.deleteRange({ key })
  }

  /** Every key that starts with `prefix`; an empty prefix is every key. */
  async delPrefix(prefix: Buffer): Promise<{ deleted: number; revision: number }> {
    return await this.deleteRange(prefixRange(prefix))
  }

  /** Keys that start with `prefix` in order, and how many there are in all. */
  async list(prefix: Buffer, options: ListOptions = {}): Promise<{ items: KvItem[]; more: boolean; count: number; revision: number }> {
    const { key, range_end } = prefixRange(prefix)
    const start = options.after && Buffer.compare(options.after, key) >= 0 ? Buffer.concat([options.after, Buffer.from([0])]) : key
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
  async cas(key: Buffer, expected: Expectation, value: Buffer): Promise<{ swapped: boolean; current: KvItem | null; revision: number }> {
    checkSendable(value)
    const response = await this.txn({
      compare: [compareOf(key, expected)],
      success: [{ request_put: { key, value } }, { request_range: { key } }],
      failure: [{ request_range: { key } }],
    })
    const [kv] = response.responses?.at(-1)?.response_range?.kvs ?? []
    return { swapped: response.succeeded === true, current: kv ? itemOf(kv) : null, revision: revisionOf(response) }
  }

  async txn(request: etcdserverpb.TxnRequest.$Properties): Promise<etcdserverpb.TxnResponse.$Properties> {
    return await this.calls.write('Txn', request)
  }

  async compact(revision: number): Promise<void> {
    await this.calls.write('Compact', { revision })
  }

  close(): void {
    this.calls.close()
  }

  private async deleteRange(request: { key: Buffer; range_end?: Buffer }): Promise<{ deleted: number; revision: number }> {
    const response = await this.calls.write('DeleteRange', request)
    return { deleted: fromInt64(response.deleted), revision: revisionOf(response) }
  }
}

/** What no message can carry is certainly not applied; what a member takes is for it to say. */
function checkSendable(value: Buffer): void {
  if (value.length > MAX_MESSAGE_BYTES / 2) throw new RefusedError(TOO_LARGE)
}

/** etcd's way to say "all keys": from the zero byte on. */
function prefixRange(prefix: Buffer): { key: Buffer; range_end: Buffer } {
  const start = prefix.length === 0 ? Buffer.from([0]) : prefix
  return { key: start, range_end: prefix.length === 0 ? Buffer.from([0]) : prefixEnd(prefix) }
}

function compareOf(key: Buffer, expected: Expectation): etcdserverpb.Compare.$Properties {
  if ('absent' in expected) return { key, target: Target.CREATE, create_revision: 0 }
  if ('modRevision' in expected) return { key, target: Target.MOD, mod_revision: expected.modRevision }
  return { key, target: Target.VALUE, value: expected.value }
}

function readFields({ revision = 0, consistency = 'linearizable' }: ReadOptions) {
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
