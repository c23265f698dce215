import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suggestion } from './did-you-mean.js'
import { CliError } from './errors.js'
import { configDirectory } from './paths.js'

export type ContextEngine = 'raftctl' | 'braft' | 'mixed'

/** A named cluster: where it is, and what it is expected to be. */
export interface Context {
  readonly name: string
  /** `host:port`; any one is enough, the other members are discovered. */
  readonly endpoints: readonly string[]
  /** The cluster that must answer; null when it has not been pinned. */
  readonly clusterId: string | null
  readonly group: string
  /** What its nodes were when it was added: each is asked that way first. Null: nobody asked. */
  readonly engine?: ContextEngine | null
  /** A local cluster that raftctl started. */
  readonly playground: boolean
  /** Free text; `production` raises every confirmation by one level. */
  readonly env: string | null
  readonly readOnly: boolean
  readonly tls?: boolean
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly serverName?: string
}

/** Which context commands use, and which one `context use -` goes back to. */
export interface Selection {
  readonly current: string | null
  readonly previous: string | null
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

export function contextsDirectory(): string {
  return join(configDirectory(), 'contexts')
}

export function selectionFile(): string {
  return join(configDirectory(), 'selection.json')
}

export function contextFile(name: string): string {
  if (!NAME.test(name)) {
    throw new CliError('E_USAGE', `${JSON.stringify(name)} cannot name a context`, {
      hint: 'Letters, digits, dot, dash and underscore, beginning with a letter or digit.',
    })
  }
  return join(contextsDirectory(), `${name}.json`)
}

/** The names of all contexts, sorted. */
export function contextNames(): string[] {
  const files = orNull(() => readdirSync(contextsDirectory())) ?? []
  return files
    .filter((file) => file.endsWith('.json') && !file.startsWith('.'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort()
}

/** Null when there is none of this name. */
export function findContext(name: string): Context | null {
  if (!NAME.test(name)) return null
  const path = contextFile(name)
  const text = orNull(() => readFileSync(path, 'utf8'))
  return text === null ? null : parseContext(text, name, path)
}

/** Throws E_NO_CONTEXT with the likely name when there is none. */
export function readContext(name: string): Context {
  const context = findContext(name)
  if (context) return context
  const names = contextNames()
  throw new CliError('E_NO_CONTEXT', `no context named ${name}${suggestion(name, names)}`, {
    hint: names.length > 0 ? `contexts: ${names.join(', ')}` : 'There are none yet: raftctl cluster start makes one.',
    details: { context: name, contexts: names },
  })
}

export function readSelection(): Selection {
  const text = orNull(() => readFileSync(selectionFile(), 'utf8'))
  if (text === null) return { current: null, previous: null }
  const value = parseObject(text, selectionFile())
  return { current: stringOrNull(value.current), previous: stringOrNull(value.previous) }
}

function parseContext(text: string, name: string, path: string): Context {
  const value = parseObject(text, path)
  const endpoints = value.endpoints
  if (!Array.isArray(endpoints) || endpoints.length === 0 || !endpoints.every((one) => typeof one === 'string')) {
    throw new CliError('E_CONFIG', `${path}: endpoints is not a list of host:port`, {
      hint: `raftctl context remove ${name}, then add it again`,
    })
  }
  return {
    name,
    endpoints,
    clusterId: stringOrNull(value.clusterId),
    group: stringOrNull(value.group) ?? 'kv',
    engine: engineOf(value.engine),
    playground: value.playground === true,
    env: stringOrNull(value.env),
    readOnly: value.readOnly === true,
    ...(value.tls === true ? { tls: true } : {}),
    ...optionalStrings(value, ['ca', 'cert', 'key', 'serverName'] as const),
  }
}

function engineOf(value: unknown): ContextEngine | null {
  return value === 'raftctl' || value === 'braft' || value === 'mixed' ? value : null
}

function parseObject(text: string, path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch (error) {
    throw new CliError('E_CONFIG', `${path}: ${(error as Error).message}`, { hint: 'Mend the file, or remove it.' })
  }
  throw new CliError('E_CONFIG', `${path}: not a JSON object`, { hint: 'Mend the file, or remove it.' })
}

function optionalStrings<Key extends string>(value: Record<string, unknown>, keys: readonly Key[]): Partial<Record<Key, string>> {
  return Object.fromEntries(keys.flatMap((key) => (typeof value[key] === 'string' ? [[key, value[key]]] : []))) as Partial<
    Record<Key, string>
  >
}

function stringOrNull(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}

function orNull<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw error
  }
}
