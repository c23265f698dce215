import type { StateRecord } from './canonical.js'
import { type ByteString, byteString, bytesOf } from './keys.js'

/** What the keys below one prefix take. */
export interface PrefixSize {
  /** Ends with the separator; empty for keys that have none. */
  readonly prefix: Buffer
  /** Keys that exist. */
  readonly keys: number
  /** Of keys that exist, with their newest values. */
  readonly bytes: number
  /** Keys and values of every version that is kept. */
  readonly historyBytes: number
}

export interface PrefixSizes {
  /** The largest by `historyBytes`, largest first. */
  readonly top: readonly PrefixSize[]
  /** What all prefixes that are not in `top` have together, and how many they are. */
  readonly others: Omit<PrefixSize, 'prefix'> & { readonly prefixes: number }
  readonly total: Omit<PrefixSize, 'prefix'>
}

export interface PrefixOptions {
  /** Separators up to which keys are told apart, at least 1: with 2, `a/b/c` counts for `a/b/`. */
  readonly depth: number
  /** Prefixes answered. */
  readonly top: number
  /** One byte. */
  readonly separator?: string
}

interface Sums {
  keys: number
  bytes: number
  historyBytes: number
}

const nothing = (): Sums => ({ keys: 0, bytes: 0, historyBytes: 0 })

/**
 * Adds up a snapshot by prefix of its keys: `add` every record, in their order, then `finish`. Keys come sorted, so only the
 * prefixes of the last key and the largest so far are held.
 */
export class PrefixCount {
  private readonly separator: string
  /** Prefixes under which more keys may come. */
  private readonly open = new Map<ByteString, Sums>()
  private top: (Sums & { prefix: ByteString })[] = []
  private readonly others = { ...nothing(), prefixes: 0 }
  private readonly total = nothing()
  private last: ByteString | null = null
  /** Of `last`, when its newest version so far is not a deletion. */
  private alive: { sums: Sums; bytes: number } | null = null

  constructor(private readonly options: PrefixOptions) {
    this.separator = options.separator ?? '/'
  }

  add(record: StateRecord): void {
    if (!record.key) return
    const key = byteString(record.key.key)
    if (key !== this.last) this.endKey()
    this.last = key
    const sums = this.sumsOf(key)
    for (const version of record.key.versions ?? []) {
      const bytes = key.length + (version.value?.length ?? 0)
      sums.historyBytes += bytes
      this.total.historyBytes += bytes
      this.alive = version.deleted ? null : { sums, bytes }
    }
  }

  finish(): PrefixSizes {
    this.endKey()
    for (const prefix of [...this.open.keys()]) this.close(prefix)
    const top = this.top.map(({ prefix, ...sums }) => ({ prefix: bytesOf(prefix), ...sums }))
    return { top, others: this.others, total: this.total }
  }

  private endKey(): void {
    if (this.alive === null) return
    for (const sums of [this.alive.sums, this.total]) {
      sums.keys++
      sums.bytes += this.alive.bytes
    }
    this.alive = null
  }

  private sumsOf(key: ByteString): Sums {
    const prefix = this.prefixOf(key)
    let sums = this.open.get(prefix)
    if (sums === undefined) {
      for (const known of [...this.open.keys()]) if (!key.startsWith(known)) this.close(known)
      this.open.set(prefix, (sums = nothing()))
    }
    return sums
  }

  private prefixOf(key: ByteString): ByteString {
    let end = 0
    for (let level = 0; level < this.options.depth; level++) {
      const at = key.indexOf(this.separator, end)
      if (at < 0) break
      end = at + 1
    }
    return key.slice(0, end)
  }

  private close(prefix: ByteString): void {
    const sums = this.open.get(prefix)!
    this.open.delete(prefix)
    const isFull = this.top.length >= this.options.top
    if (isFull && sums.historyBytes <= (this.top.at(-1)?.historyBytes ?? Number.POSITIVE_INFINITY)) return this.addToOthers(sums)
    this.top.push({ prefix, ...sums })
    this.top.sort((a, b) => b.historyBytes - a.historyBytes || (a.prefix < b.prefix ? -1 : 1))
    if (isFull) this.addToOthers(this.top.pop()!)
  }

  private addToOthers(sums: Sums): void {
    this.others.prefixes++
    for (const field of ['keys', 'bytes', 'historyBytes'] as const) this.others[field] += sums[field]
  }
}
