import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Context, ContextEngine, Selection } from '../terminal/context-files.js'
import { contextFile, contextNames, findContext, readContext, readSelection, selectionFile } from '../terminal/context-files.js'
import { CliError } from '../terminal/errors.js'

export type { Context } from '../terminal/context-files.js'
export { contextNames, findContext, readContext } from '../terminal/context-files.js'

/** A context to be saved; what is left out has the usual value. */
export interface NewContext extends Partial<Omit<Context, 'name' | 'endpoints'>> {
  readonly name: string
  readonly endpoints: readonly string[]
}

export interface SaveOptions {
  readonly select?: boolean
}

/** Writes the context for its owner only (0600), whole or not at all, and selects it when asked to. Returns what it wrote. */
export function saveContext(input: NewContext, options: SaveOptions = {}): Context {
  const context: Context = { clusterId: null, group: 'kv', playground: false, env: null, readOnly: false, ...input }
  writePrivately(contextFile(context.name), context)
  if (options.select) select(context.name)
  return context
}

/** The selected context; null when none is, or when its file is gone. */
export function currentContext(): Context | null {
  const { current } = readSelection()
  return current === null ? null : findContext(current)
}

export function selection(): Selection {
  return readSelection()
}

/** Selects a context; `-` is the one before. Throws E_NO_CONTEXT when it does not exist. */
export function useContext(name: string): { readonly context: Context; readonly previous: string | null } {
  const before = readSelection()
  if (name === '-' && before.previous === null) {
    throw new CliError('E_NO_CONTEXT', 'there is no previous context to go back to', {
      hint: contextNames().length > 0 ? 'raftctl context list' : 'raftctl cluster start',
    })
  }
  const context = readContext(name === '-' ? (before.previous as string) : name)
  select(context.name)
  return { context, previous: before.current }
}

/** Whether there is a file of this name, damaged or not. */
export function contextExists(name: string): boolean {
  return existsSync(contextFile(name))
}

/** Removes a context, damaged or not. Throws E_NO_CONTEXT with the likely name when there is none; answers which one is selected now. */
export function forgetNamedContext(name: string): Selection {
  if (!removeContext(name)) readContext(name)
  return readSelection()
}

/** Removes a context and forgets that it was selected; false when there was none. The one before becomes current if it still exists. */
export function removeContext(name: string): boolean {
  if (!contextExists(name)) return false
  rmSync(contextFile(name), { force: true })
  const { current, previous } = readSelection()
  if (current !== name && previous !== name) return true
  const survivor = current === name ? previous : current
  const usable = survivor !== null && survivor !== name && contextExists(survivor) ? survivor : null
  writePrivately(selectionFile(), { current: usable, previous: null })
  return true
}

/** One row of `context list`. */
export interface ContextRow {
  readonly name: string
  readonly current: boolean
  readonly endpoints: readonly string[]
  readonly group: string
  readonly clusterId: string | null
  /** What its nodes were when it was added; null: nobody asked. */
  readonly engine: ContextEngine | null
  readonly playground: boolean
  readonly env: string | null
  readonly readOnly: boolean
  /** Why it cannot be used; null when it can. */
  readonly problem: string | null
}

export interface ContextDetail extends Omit<ContextRow, 'problem'> {
  readonly file: string
}

export function listContexts(): ContextRow[] {
  return contextNames().map((name) => {
    try {
      return { ...row(name), problem: null }
    } catch (error) {
      if (!(error instanceof CliError)) throw error
      const blank = { endpoints: [], group: '', clusterId: null, engine: null, playground: false, env: null, readOnly: false }
      return { name, current: readSelection().current === name, ...blank, problem: error.message }
    }
  })
}

/** The selected context when `name` is left out. */
export function showContext(name?: string): ContextDetail {
  const wanted = name ?? readSelection().current
  if (wanted === null)
    throw new CliError('E_NO_CONTEXT', 'no context is selected', { hint: 'raftctl context list, then raftctl context use NAME' })
  return { ...row(wanted), file: contextFile(wanted) }
}

function row(name: string): Omit<ContextRow, 'problem'> {
  const { endpoints, group, clusterId, engine = null, playground, env, readOnly } = readContext(name)
  return { name, current: readSelection().current === name, endpoints, group, clusterId, engine, playground, env, readOnly }
}

function select(name: string): void {
  const { current, previous } = readSelection()
  writePrivately(selectionFile(), { current: name, previous: current === name ? previous : current })
}

function writePrivately(path: string, value: object): void {
  const directory = dirname(path)
  const temporary = join(directory, `.${process.pid}-${Math.random().toString(36).slice(2)}.tmp`)
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
    chmodSync(temporary, 0o600)
    renameSync(temporary, path)
  } catch (error) {
    if (existsSync(temporary)) rmSync(temporary, { force: true })
    throw new CliError('E_DATA_DIR', `cannot write ${path}: ${(error as Error).message}`, {
      hint: 'Check who owns the directory and that the disk has room.',
      cause: error,
    })
  }
}
