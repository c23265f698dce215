import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CliError, ERRORS, isErrorCode } from '../../../src/terminal/errors.js'
import { EXIT_CODES } from '../../../src/terminal/exit-codes.js'
import { errorDocument, field, successDocument } from '../../../src/terminal/json.js'
import { asCliError, usageError } from '../../../src/terminal/usage-error.js'
import { PROJECT } from '../../support/run-cli.js'

const envelope = { schema: 'raftctl.status/1', context: 'prod', clusterId: '7f3a', warnings: ['w'] }

test('every error has an exit code of the table, a meaning and an advice', () => {
  for (const [code, entry] of Object.entries(ERRORS)) {
    assert.match(code, /^E_[A-Z_]+$/)
    assert.ok(entry.exitCode in EXIT_CODES, code)
    assert.ok(entry.meaning.endsWith('.') && entry.act.endsWith('.'), `${code} is not told in sentences`)
  }
})

test('every exit code above 0 belongs to an error', () => {
  const used = new Set<number>(Object.values(ERRORS).map((entry) => entry.exitCode))
  assert.equal(
    Object.keys(EXIT_CODES)
      .map(Number)
      .filter((code) => code > 0 && !used.has(code)),
    [],
  )
})

test('every code that the project emits is in the registry', () => {
  const unknown = new Set<string>()
  for (const folder of ['src', 'commands']) {
    for (const file of readdirSync(join(PROJECT, folder), { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.ts') || file.includes('generated')) continue
      for (const [, code] of readFileSync(join(PROJECT, folder, file), 'utf8').matchAll(/'(E_[A-Z_]+)'/g)) {
        if (!isErrorCode(code as string)) unknown.add(`${code} in ${folder}/${file}`)
      }
    }
  }
  assert.equal([...unknown], [])
})

test('success says ok with the data, also when the data is nothing', () => {
  assert.equal(successDocument(envelope, 3, [1]), {
    schema: 'raftctl.status/1',
    ok: true,
    exitCode: 3,
    context: 'prod',
    clusterId: '7f3a',
    data: [1],
    warnings: ['w'],
  })
  assert.is((successDocument(envelope, 0, undefined) as { data: unknown }).data, null)
  assert.is((successDocument(envelope, 0, 0) as { data: unknown }).data, 0)
})

test('an error without rows has its own schema, one with rows keeps the schema of the command', () => {
  const error = new CliError('E_NO_LEADER', 'no leader', { details: { term: 3 } })
  const plain = errorDocument(envelope, error) as Record<string, unknown>
  assert.is(plain.schema, 'raftctl.error/1')
  assert.is(plain.exitCode, 4)
  assert.not('data' in plain)
  const rows = errorDocument(envelope, error, { nodes: [] }) as Record<string, unknown>
  assert.is(rows.schema, 'raftctl.status/1')
  assert.equal(rows.data, { nodes: [] })
})

test('a field is found by its path, bare when it is a scalar', () => {
  const data = { leader: 'n1', term: 8, none: null, nodes: [{ id: 'n1' }, { id: 'n2' }] }
  assert.is(field(data, 'leader'), 'n1')
  assert.is(field(data, 'data.term'), '8')
  assert.is(field(data, 'none'), 'null')
  assert.is(field(data, 'nodes[1].id'), 'n2')
  assert.is(field(data, 'nodes.0.id'), 'n1')
  assert.is(field(data, 'nodes[].id'), 'n1\nn2')
  assert.is(field(data, 'nodes[0]'), '{"id":"n1"}')
})

test('a field that is not there is a usage error that names the likely one', () => {
  assert.throws(
    () => field({ leader: 'n1' }, 'laeder'),
    (error: CliError) => error.exitCode === 2 && /did you mean leader/.test(error.message),
  )
  assert.throws(
    () => field({ nodes: [1] }, 'nodes.id'),
    (error: CliError) => /list of 1/.test(error.hint),
  )
})

test('an error with a code of the registry keeps it, anything else is internal', () => {
  const coded = Object.assign(new Error('port 7001 is taken'), { code: 'E_PORT', hint: 'choose another' })
  assert.is(asCliError(coded).exitCode, 6)
  assert.is(asCliError(coded).hint, 'choose another')
  assert.is(asCliError(new Error('boom')).code, 'E_INTERNAL')
  assert.is(asCliError(Object.assign(new Error('x'), { code: 'ENOENT' })).code, 'E_INTERNAL')
  assert.is(asCliError(Object.assign(new Error('x'), { name: 'ExitPromptError' })).exitCode, 130)
})

test('what the parser of oclif says becomes one line', () => {
  const unknown = Object.assign(new Error('Nonexistent flag'), { flags: ['--wacth'] })
  assert.is(usageError(unknown, 'status', { watch: {}, wide: {} }).message, 'unknown flag --wacth; did you mean --watch?')
  const missing = Object.assign(new Error('Missing 1 required arg'), { args: [{ name: 'key' }] })
  assert.is(usageError(missing, 'kv get', {}).message, 'missing argument KEY')
  const extra = Object.assign(new Error('Unexpected argument'), { args: ['x', 'y'] })
  assert.is(usageError(extra, 'status', {}).message, 'unexpected arguments x, y')
  const parsing = new Error('Parsing --timeout \n\t"5" is not a duration\nSee more help with --help')
  assert.is(usageError(parsing, 'status', {}).message, '--timeout: "5" is not a duration')
})

test.run()
