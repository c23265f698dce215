import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { PROJECT } from './run-cli.js'

type Schema = Record<string, unknown>

export const SCHEMAS = join(PROJECT, 'schemas')

export function schemaFiles(): string[] {
  return readdirSync(SCHEMAS).filter((file) => file.endsWith('.schema.json'))
}

export function readSchema(file: string): Schema {
  return JSON.parse(readFileSync(join(SCHEMAS, file), 'utf8')) as Schema
}

const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true })
// All of them: one may refer to another.
for (const file of schemaFiles()) ajv.addSchema(readSchema(file))

/** What is wrong with `document` by the schema it names itself, `raftctl.status/1` for instance; empty when nothing is. */
export function problemsOf(document: { readonly schema?: unknown }): string[] {
  const name = String(document.schema)
  const match = /^raftctl\.([a-z.-]+)\/1$/.exec(name)
  if (!match) return [`${name} names no schema`]
  const validate = ajv.getSchema(String(readSchema(`${match[1]}.schema.json`).$id)) as ValidateFunction
  return validate(document)
    ? []
    : (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`)
}
