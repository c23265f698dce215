import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PROJECT } from '../support/run-cli.js'
import { problemsOf, readSchema, SCHEMAS, schemaFiles } from '../support/schemas.js'

const sample = {
  schema: 'raftctl.context.use/1',
  ok: true,
  exitCode: 0,
  context: null,
  clusterId: null,
  data: { current: 'dev', previous: null, endpoints: ['127.0.0.1:7001'] },
  warnings: [],
}

test('a document that is as declared passes', () => {
  assert.equal(problemsOf(sample), [])
})

test('an undeclared property fails, at the top and deep inside', () => {
  assert.ok(problemsOf({ ...sample, extra: 1 } as never).length > 0)
  assert.ok(problemsOf({ ...sample, data: { ...sample.data, extra: 1 } } as never).length > 0)
})

test('a missing property fails, at the top and deep inside', () => {
  const { warnings: _, ...withoutWarnings } = sample
  assert.ok(problemsOf(withoutWarnings).length > 0)
  assert.ok(problemsOf({ ...sample, data: { current: 'dev', previous: null } } as never).length > 0)
})

test('a document that names no schema, or one that does not exist, fails', () => {
  assert.ok(problemsOf({ schema: 'nonsense' }).length > 0)
  assert.throws(() => problemsOf({ schema: 'raftctl.no.such/1' }))
})

test('every object of every schema is closed and requires what it declares', () => {
  for (const file of schemaFiles()) {
    const check = (node: unknown, path: string): void => {
      if (typeof node !== 'object' || node === null) return
      const { properties, required, additionalProperties } = node as Record<string, unknown>
      if (properties) {
        assert.is(additionalProperties, false, `${file} ${path} is open`)
        assert.equal([...(required as string[])].sort(), Object.keys(properties).sort(), `${file} ${path} leaves something out of required`)
      }
      for (const [key, value] of Object.entries(node)) check(value, `${path}/${key}`)
    }
    check(readSchema(file), '')
  }
})

test('every command names a schema that exists', async () => {
  const folder = join(PROJECT, 'dist', 'commands')
  let commands = 0
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.js')) continue
    const { default: command } = (await import(pathToFileURL(join(folder, file)).href)) as { default: { schema?: string } }
    const name = /^raftctl\.(.+)\/1$/.exec(command.schema ?? '')?.[1]
    assert.ok(name, `${file} names no schema`)
    assert.ok(existsSync(join(SCHEMAS, `${name}.schema.json`)), `${file}: schemas/${name}.schema.json does not exist`)
    commands++
  }
  assert.ok(commands > 10)
})

test.run()
