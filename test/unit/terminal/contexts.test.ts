import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  currentContext,
  listContexts,
  removeContext,
  saveContext,
  selection,
  showContext,
  useContext,
} from '../../../src/local/context-store.js'
import { contextFile, contextsDirectory } from '../../../src/terminal/context-files.js'
import type { CliError } from '../../../src/terminal/errors.js'

const test = suite('contexts')
let home = ''
const before = { HOME: process.env.HOME, XDG_CONFIG_HOME: process.env.XDG_CONFIG_HOME }

test.before.each(() => {
  home = mkdtempSync(join(tmpdir(), 'raftctl-contexts-'))
  process.env.HOME = home
  delete process.env.XDG_CONFIG_HOME
})
test.after.each(() => rmSync(home, { recursive: true, force: true }))
test.after(() => {
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
})

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return (error as CliError).code
  }
  return 'nothing was thrown'
}

test('a saved context is read back, private to its owner, and leaves no other file', () => {
  saveContext({ name: 'dev', endpoints: ['127.0.0.1:7001'], clusterId: 'ab', playground: true }, { select: true })
  assert.equal(currentContext(), {
    name: 'dev',
    endpoints: ['127.0.0.1:7001'],
    clusterId: 'ab',
    group: 'kv',
    playground: true,
    env: null,
    readOnly: false,
    engine: null,
  })
  saveContext({ name: 'dev', endpoints: ['127.0.0.1:7001'], engine: 'braft' })
  assert.is(currentContext()!.engine, 'braft', 'what was found out there is remembered')
  assert.is(statSync(contextFile('dev')).mode & 0o777, 0o600)
  assert.is(contextFile('dev'), join(home, '.config/raftctl/contexts/dev.json'))
  assert.equal(readdirSync(contextsDirectory()), ['dev.json'])
})

test('XDG_CONFIG_HOME wins over HOME', () => {
  process.env.XDG_CONFIG_HOME = join(home, 'xdg')
  assert.is(contextFile('dev'), join(home, 'xdg/raftctl/contexts/dev.json'))
  delete process.env.XDG_CONFIG_HOME
})

test('- goes back and forth between two contexts', () => {
  saveContext({ name: 'a', endpoints: ['h:1'] }, { select: true })
  saveContext({ name: 'b', endpoints: ['h:2'] }, { select: true })
  assert.is(useContext('-').context.name, 'a')
  assert.is(useContext('-').context.name, 'b')
  useContext('b')
  assert.equal(selection(), { current: 'b', previous: 'a' }, 'selecting the selected one forgets nothing')
})

test('without one before, - is not found', () => {
  saveContext({ name: 'a', endpoints: ['h:1'] }, { select: true })
  assert.is(
    codeOf(() => useContext('-')),
    'E_NO_CONTEXT',
  )
})

test('removing the selected context selects the one before', () => {
  saveContext({ name: 'a', endpoints: ['h:1'] }, { select: true })
  saveContext({ name: 'b', endpoints: ['h:2'] }, { select: true })
  assert.is(removeContext('b'), true)
  assert.is(currentContext()?.name, 'a')
  assert.is(removeContext('b'), false)
  removeContext('a')
  assert.is(currentContext(), null)
})

test('the list marks the selected one; show without a name shows it', () => {
  saveContext({ name: 'b', endpoints: ['h:2'] }, { select: true })
  saveContext({ name: 'a', endpoints: ['h:1'] })
  assert.equal(
    listContexts().map((row) => [row.name, row.current]),
    [
      ['a', false],
      ['b', true],
    ],
  )
  assert.is(showContext().name, 'b')
  assert.is(
    codeOf(() => showContext('nothere')),
    'E_NO_CONTEXT',
  )
})

test('a name that is a path, and a file that is damaged, are refused', () => {
  assert.is(
    codeOf(() => saveContext({ name: '../x', endpoints: ['h:1'] })),
    'E_USAGE',
  )
  saveContext({ name: 'a', endpoints: ['h:1'] }, { select: true })
  writeFileSync(contextFile('a'), '{')
  assert.is(
    codeOf(() => currentContext()),
    'E_CONFIG',
  )
  writeFileSync(contextFile('a'), '{"endpoints":[]}')
  assert.is(
    codeOf(() => currentContext()),
    'E_CONFIG',
  )
})

test.run()
