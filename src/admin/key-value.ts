import { readFileSync } from 'node:fs'
import { KvClient, KvClientError, type KvConsistency, type KvItem, UnreachableError } from '../machines/kv/client.js'
import type { Connection } from '../terminal/connection.js'
import { CliError, isErrorCode } from '../terminal/errors.js'
import { beyondBraft, brpcAddress, isBrpcRefusal } from './engines/braft-limits.js'

/** Key and value bytes in JSON: text where they are UTF-8, base64 where they are not. */
export type JsonBytes = string | { readonly base64: string }

export interface KeyValue {
  readonly key: JsonBytes
  readonly value: JsonBytes
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
}

export interface GetOptions {
  readonly read: KvConsistency
  readonly revision?: number
}

/** `data` of `kv get`, and the bytes for a person. */
export interface GetAnswer {
  readonly data: KeyValue & { readonly revision: number }
  readonly bytes: Buffer
}

export interface ListQuery {
  readonly prefix: string
  readonly limit: number
  readonly keysOnly: boolean
  readonly after?: string
  readonly read: KvConsistency
}

export interface ListAnswer {
  readonly revision: number
  readonly count: number
  readonly more: boolean
  readonly items: readonly (Omit<KeyValue, 'value'> & { readonly value: JsonBytes | null })[]
}

export const DEFAULT_LIST_LIMIT = 100

export type CasExpectation = { readonly from: string } | { readonly revision: number } | { readonly absent: true }

/** The key-value commands: one call each, every failure an error of the registry. Owns its client; dispose of it. */
export class KeyValueAdmin implements Disposable {
  private readonly client: KvClient

  constructor(connection: Connection) {
    if (connection.tls !== null)
      throw new CliError('E_UNSUPPORTED', 'key-value calls do not go over TLS', {
        hint: 'Leave out the TLS flags, or take them out of the context.',
      })
    const { endpoints, timeoutMs, connectTimeoutMs, clusterId, group, direct } = connection
    this.client = new KvClient({ endpoints, timeoutMs, connectTimeoutMs, clusterId, group, direct })
  }

  [Symbol.dispose](): void {
    this.client.close()
  }

  async get(key: string, options: GetOptions): Promise<GetAnswer> {
    const { item, revision } = await answered(
      this.client.get(keyBytes(key), {
        consistency: options.read,
        ...(options.revision === undefined ? {} : { revision: options.revision }),
      }),
    )
    if (item === null)
      throw new CliError('E_NO_KEY', `no key ${key}`, {
        hint: `raftctl kv list ${quoted(key.slice(0, 3))}`,
        details: { key: jsonBytes(keyBytes(key)), revision },
      })
    return { data: { ...jsonItem(item), revision }, bytes: item.value }
  }

  async put(
    key: string,
    value: Buffer,
  ): Promise<{ readonly key: JsonBytes; readonly revision: number; readonly previous: KeyValue | null }> {
    const { revision, previous } = await answered(this.client.put(keyBytes(key), value), `raftctl kv get ${quoted(key)} --meta`)
    return { key: jsonBytes(keyBytes(key)), revision, previous: previous && jsonItem(previous) }
  }

  /** Puts only where no such key is; E_CAS with what is there otherwise. */
  async putIfAbsent(key: string, value: Buffer) {
    const { revision } = await this.swap(key, { absent: true }, value)
    return { key: jsonBytes(keyBytes(key)), revision, previous: null }
  }

  async delete(key: string): Promise<{ readonly deleted: number; readonly revision: number }> {
    return answered(this.client.del(keyBytes(key)), `raftctl kv get ${quoted(key)}`)
  }

  async deletePrefix(prefix: string): Promise<{ readonly deleted: number; readonly revision: number }> {
    return answered(this.client.delPrefix(Buffer.from(prefix)), `raftctl kv list ${quoted(prefix)}`)
  }

  async countPrefix(prefix: string): Promise<number> {
    const { count } = await answered(this.client.list(Buffer.from(prefix), { limit: 1, keysOnly: true }))
    return count
  }

  async list(query: ListQuery): Promise<ListAnswer> {
    const { limit, keysOnly, read, after } = query
    const options = { limit, keysOnly, consistency: read, ...(after === undefined ? {} : { after: Buffer.from(after) }) }
    const { items, more, count, revision } = await answered(this.client.list(Buffer.from(query.prefix), options))
    return { revision, count, more, items: items.map((item) => ({ ...jsonItem(item), value: keysOnly ? null : jsonBytes(item.value) })) }
  }

  async swap(
    key: string,
    expectation: CasExpectation,
    to: Buffer,
  ): Promise<{ readonly key: JsonBytes; readonly revision: number; readonly value: JsonBytes }> {
    const expected =
      'from' in expectation
        ? { value: Buffer.from(expectation.from) }
        : 'revision' in expectation
          ? { modRevision: expectation.revision }
          : expectation
    const { swapped, current, revision } = await answered(
      this.client.cas(keyBytes(key), expected, to),
      `raftctl kv get ${quoted(key)} --meta`,
    )
    if (swapped) return { key: jsonBytes(keyBytes(key)), revision, value: jsonBytes(to) }
    const found = current === null ? 'it does not exist' : `it is ${shown(current.value)} (revision ${current.modRevision})`
    throw new CliError('E_CAS', `${key} is not what was expected: ${found}`, {
      details: { key: jsonBytes(keyBytes(key)), current: current && jsonItem(current), revision },
    })
  }
}

/** The value of `kv put`: the argument, a file, or stdin for `-`. */
export async function valueBytes(source: {
  readonly argument: string | undefined
  readonly file: string | undefined
  readonly stdin: AsyncIterable<Uint8Array>
}): Promise<Buffer> {
  const { argument, file } = source
  if (argument !== undefined && file !== undefined)
    throw new CliError('E_USAGE', 'a value and --file were both given', { hint: 'Give one of them.' })
  if (file !== undefined) {
    try {
      return readFileSync(file)
    } catch (error) {
      throw new CliError('E_USAGE', `--file: ${(error as Error).message}`, { hint: 'Check the path.' })
    }
  }
  if (argument === undefined) throw new CliError('E_USAGE', 'missing argument VALUE', { hint: 'Give a value, - for stdin, or --file.' })
  if (argument !== '-') return Buffer.from(argument)
  const chunks: Uint8Array[] = []
  for await (const chunk of source.stdin) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** What is asked before a prefix is deleted. */
export function deletionQuestion(prefix: string, count: number, connection: Connection): string {
  const what = prefix === '' ? `ALL ${count} keys` : `${count} ${count === 1 ? 'key that starts' : 'keys that start'} with ${prefix}`
  return `Delete ${what} from ${connection.context?.name ?? connection.endpoints.join(',')}?`
}

/** The command that lists what comes after a page. */
export function nextPage(query: ListQuery, page: ListAnswer): string {
  const { prefix, limit, keysOnly, read } = query
  const last = page.items.at(-1)?.key
  const words = [
    'raftctl',
    'kv',
    'list',
    ...(prefix === '' ? [] : [quoted(prefix)]),
    '--after',
    typeof last === 'string' ? quoted(last) : 'KEY',
    ...(limit === DEFAULT_LIST_LIMIT ? [] : ['--limit', String(limit)]),
    ...(keysOnly ? ['--keys-only'] : []),
    ...(read === 'linearizable' ? [] : ['--read', read]),
  ]
  return words.join(' ')
}

function quoted(word: string): string {
  return /^[\w./:@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

export function jsonBytes(bytes: Buffer): JsonBytes {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return { base64: bytes.toString('base64') }
  }
}

/** One line for a person: text as it is, control characters escaped, bytes that are no text as base64. */
export function shown(bytes: Buffer | JsonBytes): string {
  const text = Buffer.isBuffer(bytes) ? jsonBytes(bytes) : bytes
  if (typeof text !== 'string') return `base64:${text.base64}`
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => JSON.stringify(character).slice(1, -1).replace('\u007f', '\\u007f'))
}

function keyBytes(key: string): Buffer {
  if (key === '') throw new CliError('E_USAGE', 'a key cannot be empty', { hint: 'Give at least one byte.' })
  return Buffer.from(key)
}

function jsonItem(item: KvItem): KeyValue {
  const { createRevision, modRevision, version } = item
  return { key: jsonBytes(item.key), value: jsonBytes(item.value), createRevision, modRevision, version }
}

/** `check` is how a person finds out what became of a write without an answer. */
async function answered<T>(call: Promise<T>, check?: string): Promise<T> {
  try {
    return await call
  } catch (thrown) {
    throw thrown instanceof KvClientError ? kvError(thrown, check) : thrown
  }
}

export function kvError(error: KvClientError, check?: string): CliError {
  const code = error.code === 'SESSION_EXPIRED' ? 'E_SESSION_EXPIRED' : error.code
  const details: Record<string, unknown> = { applied: error.applied, leaderHint: error.leaderHint }
  const nothing = check !== undefined && error.applied === 'no' && (code === 'E_NO_LEADER' || code === 'E_NO_QUORUM')
  const message = `${error.message.replace(/^etcdserver: /, '')}${nothing ? ': nothing was applied' : ''}`
  if (code === 'E_UNSUPPORTED' && isBrpcRefusal(error.message)) return beyondBraft(brpcAddress(error.message), 'keyValue')
  if (error instanceof UnreachableError)
    return new CliError('E_UNREACHABLE', message, { details: { ...details, node: error.endpoint, stage: error.stage } })
  if (!isErrorCode(code)) return new CliError('E_INTERNAL', message, { details: { ...details, serverCode: error.code }, cause: error })
  const unknown = code === 'E_OUTCOME_UNKNOWN' || code === 'E_SESSION_EXPIRED'
  return new CliError(code, message, {
    details,
    cause: error,
    ...(unknown && check ? { hint: `Look before you repeat it:  ${check}` } : {}),
  })
}
