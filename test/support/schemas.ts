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
const validators = new Map<string, ValidateFunction>()

/** What is wrong with `document` by the schema it names itself, `raftctl.status/1` for instance; empty when nothing is. */
export function problemsOf(document: { readonly schema?: unknown }): string[] {
  const name = String(document.schema)
  const match = /^raftctl\.([a-z.-]+)\/1$/.exec(name)
  if (!match) return [`${name} names no schema`]
  const file = `${match[1]}.schema.json`
  let validate = validators.get(file)
  if (!validate) {
    validate = ajv.compile(readSchema(file))
    validators.set(file, validate)
  }
  return validate(document)
    ? []
    : (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`)
}
