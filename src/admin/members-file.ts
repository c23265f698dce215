import { readFileSync } from 'node:fs'
import { CliError } from '../terminal/errors.js'
import { type NewMember, parseNewMember } from './membership-plan.js'

/** Reads who the members shall be: `members:` and a line `  NAME: HOST:PORT` for each, or the same as JSON. Throws E_CONFIG with the line. */
export function readMembersFile(path: string): readonly NewMember[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new CliError('E_USAGE', `the file cannot be read: ${(error as Error).message}`, { hint: 'Give the file with --file.' })
  }
  return parseMembers(text, path)
}

/** Pure part of `readMembersFile`. */
export function parseMembers(text: string, path: string): readonly NewMember[] {
  const written = text.trimStart().startsWith('{') ? fromJson(text, path) : fromYaml(text, path)
  const members = written.map(({ line, id, address }) => {
    try {
      return parseNewMember(`${id}=${address}`)
    } catch (error) {
      throw broken(line === null ? path : `${path}:${line}`, (error as Error).message)
    }
  })
  for (const key of ['id', 'address'] as const) {
    const twice = members.find((member, at) => members.findIndex((other) => other[key] === member[key]) !== at)
    if (twice) throw broken(path, `${twice[key]} stands there twice`)
  }
  if (members.length === 0) throw broken(path, 'it names no member')
  return members
}

interface Written {
  readonly line: number | null
  readonly id: string
  readonly address: string
}

function fromJson(text: string, path: string): Written[] {
  let value: { members?: unknown }
  try {
    value = JSON.parse(text) as typeof value
  } catch (error) {
    throw broken(path, (error as Error).message)
  }
  if (typeof value.members !== 'object' || value.members === null || Array.isArray(value.members))
    throw broken(path, '"members" is not an object of names and addresses')
  return Object.entries(value.members).map(([id, address]) => ({ line: null, id, address: String(address) }))
}

function fromYaml(text: string, path: string): Written[] {
  const written: Written[] = []
  let inMembers = false
  for (const [at, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.replace(/(^|\s)#.*$/, '').trimEnd()
    if (line.trim() === '' || line === '---') continue
    if (/^members:$/.test(line)) {
      inMembers = true
      continue
    }
    const pair = /^\s+(['"]?)([^'":\s]+)\1:\s+(['"]?)([^'"\s]+)\3$/.exec(line)
    if (!inMembers || !pair)
      throw broken(`${path}:${at + 1}`, `expected "members:" and lines "  NAME: HOST:PORT", got ${JSON.stringify(raw)}`)
    written.push({ line: at + 1, id: pair[2] as string, address: pair[4] as string })
  }
  return written
}

function broken(where: string, message: string): CliError {
  return new CliError('E_CONFIG', `${where}: ${message}`)
}
