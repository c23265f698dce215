import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suggestion } from './did-you-mean.js'
import { CliError } from './errors.js'
import { configDirectory } from './paths.js'

/** What a configuration file may say: the global flags by their names. */
export const SETTING_NAMES = [
  'context',
  'group',
  'endpoint',
  'engine',
  'timeout',
  'connect-timeout',
  'tls',
  'ca',
  'cert',
  'key',
  'server-name',
  'token-file',
  'json',
  'wide',
  'no-color',
  'read-only',
] as const

export type SettingName = (typeof SETTING_NAMES)[number]
export type Settings = Partial<Record<SettingName, string>>

/** The two files below flags, environment and context: the directory's first, then the user's. */
export interface SettingLayers {
  readonly directory: Settings
  readonly user: Settings
}

export function readSettings(cwd = process.cwd()): SettingLayers {
  return { directory: readFile(join(cwd, 'raftctl.yaml')), user: readFile(join(configDirectory(), 'config.yaml')) }
}

function readFile(path: string): Settings {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return {}
    throw new CliError('E_CONFIG', `${path}: ${message}`)
  }
  return parseSettings(text, path)
}

/** Reads the part of YAML that flat settings need: `name: value`, quotes, comments, `[a, b]` and `- a` lists (joined by commas). */
export function parseSettings(text: string, path: string): Settings {
  const settings: Settings = {}
  let listOf: SettingName | null = null
  for (const [number, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.replace(/(^|\s)#.*$/, '').trimEnd()
    if (line.trim() === '' || line === '---') continue
    const item = /^\s*-\s+(.+)$/.exec(line)
    if (item && listOf) {
      settings[listOf] = [settings[listOf], unquoted(item[1] as string)].filter(Boolean).join(',')
      continue
    }
    const pair = /^([A-Za-z][\w-]*):(?:\s+(.*))?$/.exec(line)
    if (!pair) throw new CliError('E_CONFIG', `${path}:${number + 1}: expected "name: value", got ${JSON.stringify(raw)}`)
    const name = settingName(pair[1] as string, `${path}:${number + 1}`)
    const value = (pair[2] ?? '').trim()
    listOf = value === '' ? name : null
    if (value !== '') settings[name] = listOrScalar(value)
  }
  return settings
}

function settingName(written: string, where: string): SettingName {
  const name = written.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).replaceAll('_', '-')
  const known = SETTING_NAMES.find((candidate) => candidate === name)
  if (known) return known
  throw new CliError('E_CONFIG', `${where}: unknown setting ${written}${suggestion(name, SETTING_NAMES)}`, {
    hint: `settings: ${SETTING_NAMES.join(', ')}`,
  })
}

function listOrScalar(value: string): string {
  const list = /^\[(.*)\]$/.exec(value)
  return list
    ? (list[1] as string)
        .split(',')
        .map((part) => unquoted(part.trim()))
        .filter(Boolean)
        .join(',')
    : unquoted(value)
}

function unquoted(value: string): string {
  const quoted = /^(["'])(.*)\1$/.exec(value)
  return quoted ? (quoted[2] as string) : value
}
