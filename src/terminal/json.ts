import { suggestion } from './did-you-mean.js'
import { CliError } from './errors.js'

/** What every document says about where it came from. */
export interface Envelope {
  readonly schema: string
  readonly context: string | null
  readonly clusterId: string | null
  readonly warnings: readonly string[]
}

export const ERROR_SCHEMA = 'raftctl.error/1'

/** The question was answered: exit 0, or 3 when the answer is no. */
export function successDocument(envelope: Envelope, exitCode: number, data: unknown): object {
  return {
    schema: envelope.schema,
    ok: true,
    exitCode,
    context: envelope.context,
    clusterId: envelope.clusterId,
    data: data ?? null,
    warnings: envelope.warnings,
  }
}

/** It was not: rows, where there are any, stand beside the error under the command's own schema. */
export function errorDocument(envelope: Envelope, error: CliError, data: unknown = error.data): object {
  const hasRows = data !== undefined
  return {
    schema: hasRows ? envelope.schema : ERROR_SCHEMA,
    ok: false,
    exitCode: error.exitCode,
    context: envelope.context,
    clusterId: envelope.clusterId,
    error: { code: error.code, message: error.message, hint: error.hint, details: error.details },
    ...(hasRows ? { data } : {}),
    warnings: envelope.warnings,
  }
}

/**
 * What `path` points at in `data`: `leader`, `nodes[0].id`, `nodes[].id` (one line each). A leading `data.` is allowed.
 * Scalars are printed bare, anything else as JSON.
 */
export function field(data: unknown, path: string): string {
  const steps = path
    .replace(/^data\.?/, '')
    .replaceAll(/\[(\d*)\]/g, (_, index: string) => `.${index === '' ? '*' : index}`)
    .split('.')
    .filter((step) => step !== '')
  let found: unknown[] = [data]
  for (const step of steps) {
    found = found.flatMap((value) => {
      if (step === '*' && Array.isArray(value)) return value
      if (typeof value === 'object' && value !== null && Object.hasOwn(value, step)) return [(value as Record<string, unknown>)[step]]
      throw noSuchField(path, step, value)
    })
  }
  return found.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join('\n')
}

function noSuchField(path: string, step: string, value: unknown): CliError {
  const names = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : []
  const hint = Array.isArray(value)
    ? `it is a list of ${value.length}: use [0] or []`
    : names.length > 0
      ? `fields: ${names.join(', ')}`
      : 'nothing is below it'
  return new CliError('E_USAGE', `no field ${step} in ${path}${suggestion(step, names)}`, { hint })
}
