import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { contextNames, findContext, readSelection } from '../terminal/context-files.js'
import { topics } from '../terminal/explanations.js'
import { cachedMembers } from './member-cache.js'
import { clusterNames, findCluster } from './state-file.js'

/** One word that may stand there, and what it means. */
export interface Candidate {
  readonly value: string
  readonly description: string
}

interface FlagEntry {
  readonly char?: string
  readonly type: 'option' | 'boolean'
  readonly description?: string
  readonly options?: readonly string[]
  readonly hidden?: boolean
  readonly multiple?: boolean
  readonly allowNo?: boolean
  readonly helpGroup?: string
}

interface CommandEntry {
  readonly id: string
  readonly summary?: string
  readonly hidden?: boolean
  readonly strict?: boolean
  readonly args?: Readonly<Record<string, object>>
  readonly flags?: Readonly<Record<string, FlagEntry>>
}

/** What the completion knows of the commands: the manifest, and the topics of package.json. */
export interface CommandTree {
  readonly commands: Readonly<Record<string, CommandEntry>>
  readonly topics: Readonly<Record<string, { readonly description?: string }>>
}

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..')
const CONDITIONS = ['leader', 'leader=', 'healthy', 'node=', 'member=', 'commit>=']
const SHELLS = ['bash', 'zsh', 'fish']
/** Whom a fault may hit besides a member by name. */
const PARTS = ['leader', 'follower', 'random']
/** Positional arguments that name a member of the cluster. */
const MEMBER_ARGS: ReadonlySet<string> = new Set(['node', 'member', 'id', 'target', 'old'])

export function readCommandTree(): CommandTree {
  const { commands } = JSON.parse(readFileSync(join(ROOT, 'oclif.manifest.json'), 'utf8')) as Pick<CommandTree, 'commands'>
  const { oclif } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { oclif: { topics: CommandTree['topics'] } }
  return { commands, topics: oclif.topics }
}

/** What may stand for the last of `words`, which follow `raftctl`. Looks at files of this machine only. */
export function complete(words: readonly string[], tree: CommandTree): Candidate[] {
  const current = words.at(-1) ?? ''
  const before = words.slice(0, -1)
  const { command, rest } = commandOf(before, tree)
  const found = [
    ...(command === null || rest.length === 0 ? below(before, tree) : []),
    ...(command === null ? [] : within(command, rest, current)),
  ]
  const matching = found.filter(({ value }) => value.startsWith(current))
  return matching.filter(({ value }, at) => matching.findIndex((one) => one.value === value) === at)
}

/** The longest command that the words begin with. */
function commandOf(words: readonly string[], tree: CommandTree): { command: CommandEntry | null; rest: readonly string[] } {
  for (let length = Math.min(words.length, 3); length > 0; length--) {
    const command = tree.commands[words.slice(0, length).join(':')]
    if (command) return { command, rest: words.slice(length) }
  }
  return { command: null, rest: words }
}

/** Topics and commands that go on from the words. */
function below(words: readonly string[], tree: CommandTree): Candidate[] {
  const prefix = words.map((word) => `${word}:`).join('')
  const visible = Object.values(tree.commands).filter((command) => !command.hidden && command.id.startsWith(prefix))
  return visible.map((command) => {
    const [value = '', ...deeper] = command.id.slice(prefix.length).split(':')
    const topic = tree.topics[`${prefix}${value}`]?.description
    return { value, description: deeper.length > 0 ? (topic ?? '') : (command.summary ?? '') }
  })
}

function within(command: CommandEntry, rest: readonly string[], current: string): Candidate[] {
  const flags = Object.entries(command.flags ?? {}).filter(([, flag]) => !flag.hidden)
  const previous = rest.at(-1)
  const awaiting = previous === undefined ? null : flagAwaitingValue(flags, previous)
  if (awaiting) return valuesOfFlag(command, awaiting, rest)
  const inline = /^(--[a-z][a-z-]*)=/.exec(current)
  if (inline) {
    const flag = flagAwaitingValue(flags, inline[1]!)
    return flag ? valuesOfFlag(command, flag, rest).map(({ value, ...more }) => ({ ...more, value: `${inline[1]}=${value}` })) : []
  }
  if (current.startsWith('-')) return flagNames(flags, rest)
  const values = valuesOfArgument(command, positionals(flags, rest), { rest, current })
  return values.length > 0 || current !== '' ? values : flagNames(flags, rest).filter(() => Object.keys(command.args ?? {}).length === 0)
}

type NamedFlag = readonly [string, FlagEntry]

function flagAwaitingValue(flags: readonly NamedFlag[], word: string): NamedFlag | null {
  return (
    flags.find(([name, { char, type }]) => type === 'option' && (word === `--${name}` || (char !== undefined && word === `-${char}`))) ??
    null
  )
}

/** Those that are not on the line yet. */
function flagNames(flags: readonly NamedFlag[], rest: readonly string[]): Candidate[] {
  const used = (name: string, { char }: FlagEntry) =>
    rest.some((word) => word === `--${name}` || word.startsWith(`--${name}=`) || (char !== undefined && word === `-${char}`))
  const left = flags.filter(([name, flag]) => flag.multiple || !used(name, flag))
  // What only this command has comes first.
  left.sort(([, a], [, b]) => Number(a.helpGroup !== undefined) - Number(b.helpGroup !== undefined))
  return [
    ...left.map(([name, flag]) => ({ value: `--${name}`, description: flag.description ?? '' })),
    ...left.flatMap(([name, flag]) => (flag.allowNo ? [{ value: `--no-${name}`, description: `not: ${flag.description ?? ''}` }] : [])),
    { value: '--help', description: 'what the command does' },
  ]
}

function positionals(flags: readonly NamedFlag[], rest: readonly string[]): number {
  let count = 0
  for (const [at, word] of rest.entries()) {
    const previous = rest[at - 1]
    if (!word.startsWith('-') && !(previous !== undefined && flagAwaitingValue(flags, previous))) count++
  }
  return count
}

function valuesOfFlag(command: CommandEntry, [name, flag]: NamedFlag, rest: readonly string[]): Candidate[] {
  if (flag.options) return plain(flag.options)
  if (name === 'context') return contexts()
  if (name === 'node') return members(command, rest)
  if (name === 'name' && command.id.startsWith('cluster:') && command.id !== 'cluster:start') return clusters()
  return []
}

interface Line {
  readonly rest: readonly string[]
  readonly current: string
}

function valuesOfArgument(command: CommandEntry, nth: number, { rest, current }: Line): Candidate[] {
  const names = Object.keys(command.args ?? {})
  const name = names[nth] ?? (command.strict === false ? names.at(-1) : undefined)
  if (name === undefined) return []
  if (command.id === 'explain') return nth === 0 ? plain(topics()) : []
  if (command.id === 'completion') return plain(SHELLS)
  if (command.id === 'wait') return conditions(current, members(command, rest))
  if (command.id === 'context:add') return []
  if (command.id.startsWith('context:')) return contexts()
  if (command.id.startsWith('cluster:') && name === 'name') return clusters()
  if (command.id.startsWith('chaos:') && (name === 'groups' || (name === 'node' && command.id !== 'chaos:heal')))
    return [...plain(PARTS), ...members(command, rest)]
  return MEMBER_ARGS.has(name) ? members(command, rest) : []
}

function conditions(current: string, known: readonly Candidate[]): Candidate[] {
  const [kind] = /^(leader|node|member)(?==)/.exec(current) ?? []
  if (kind === undefined) return plain(CONDITIONS)
  const suffix = { leader: '', node: ':reachable', member: ':caught-up' }[kind as 'leader' | 'node' | 'member']
  return known.map(({ value, description }) => ({ value: `${kind}=${value}${suffix}`, description }))
}

function plain(values: readonly string[]): Candidate[] {
  return values.map((value) => ({ value, description: '' }))
}

function contexts(): Candidate[] {
  return contextNames().map((value) => ({ value, description: quietly(() => findContext(value)?.endpoints.join(','), '') ?? '' }))
}

function clusters(): Candidate[] {
  return clusterNames().map((value) => ({ value, description: 'local cluster' }))
}

/** Nodes of the local cluster that is meant, else what was last seen of the members of the context. */
function members(command: CommandEntry, rest: readonly string[]): Candidate[] {
  const named = valueAfter(rest, command.id.startsWith('cluster:') ? ['--name'] : ['--context', '-c'])
  const context = named ?? (process.env.RAFTCTL_CONTEXT || quietly(() => readSelection().current, null))
  if (!context) return []
  const nodes = quietly(() => findCluster(context)?.nodes, undefined)
  if (nodes) return nodes.map((node) => ({ value: node.name, description: `${node.host}:${node.port}` }))
  return cachedMembers(context).map(({ id, address }) => ({ value: id, description: address }))
}

function valueAfter(words: readonly string[], flags: readonly string[]): string | null {
  for (const flag of flags) {
    const at = words.indexOf(flag)
    if (at >= 0 && words[at + 1] !== undefined) return words[at + 1]!
    const inline = words.find((word) => word.startsWith(`${flag}=`))
    if (inline) return inline.slice(flag.length + 1)
  }
  return null
}

/** A damaged file is no reason to say something while a person types. */
function quietly<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}

/** What `raftctl __complete WORD…` prints: a candidate a line, its meaning after a tab. */
export function printCompletion(words: readonly string[]): void {
  const lines = complete(words, readCommandTree()).map(({ value, description }) => `${value}\t${description.replaceAll(/\s+/g, ' ')}\n`)
  process.stdout.write(lines.join(''))
}
