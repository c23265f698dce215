import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory } from '../terminal/paths.js'

/** A member as it was last seen. */
export interface KnownMember {
  readonly id: string
  readonly address: string
}

/** What was seen this lately is not written again. */
const FRESH_MS = 5000
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/**
 * The members of every context as the last command that asked saw them: completion offers them without asking anybody. Nothing
 * depends on it, so nothing that goes wrong with it is told.
 */
export function rememberMembers(context: string | null, members: readonly KnownMember[]): void {
  if (context === null || !NAME.test(context) || members.length === 0) return
  try {
    const file = fileOf(context)
    const writtenMs = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
    if (Date.now() - writtenMs < FRESH_MS) return
    mkdirSync(join(cacheDirectory(), 'members'), { recursive: true, mode: 0o700 })
    const temporary = `${file}.${process.pid}.tmp`
    writeFileSync(temporary, JSON.stringify(members.map(({ id, address }) => ({ id, address }))), { mode: 0o600 })
    renameSync(temporary, file)
  } catch {
    // A cache.
  }
}

export function cachedMembers(context: string): readonly KnownMember[] {
  if (!NAME.test(context)) return []
  try {
    const members = JSON.parse(readFileSync(fileOf(context), 'utf8')) as Partial<KnownMember>[]
    return members.flatMap(({ id, address }) => (typeof id === 'string' && typeof address === 'string' ? [{ id, address }] : []))
  } catch {
    return []
  }
}

function fileOf(context: string): string {
  return join(cacheDirectory(), 'members', `${context}.json`)
}
