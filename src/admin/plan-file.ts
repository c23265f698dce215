import { readFileSync, writeFileSync } from 'node:fs'
import { CliError } from '../terminal/errors.js'
import type { Plan } from './plan.js'

/** Writes a plan so that somebody else can look at it and execute it. */
export function writePlan(plan: Plan, file: string): void {
  try {
    writeFileSync(file, `${JSON.stringify(plan, null, 2)}\n`, { mode: 0o600 })
  } catch (error) {
    throw new CliError('E_DATA_DIR', `the plan cannot be written: ${(error as Error).message}`, { hint: 'Give another --plan-out.' })
  }
}

const STRINGS = ['id', 'command', 'title', 'impact', 'level', 'group', 'createdAt', 'expiresAt'] as const
const LISTS = ['facts', 'gates', 'warnings', 'steps'] as const

/** Reads what `writePlan` wrote. Throws E_USAGE for what is no plan: whoever executes one trusts its every field. */
export function readPlan(file: string): Plan {
  const text = contents(file)
  let value: Partial<Record<keyof Plan, unknown>> | null
  try {
    value = JSON.parse(text) as typeof value
  } catch (error) {
    throw noPlan(file, (error as Error).message)
  }
  if (typeof value !== 'object' || value === null || value.schema !== 'raftctl.plan/1')
    throw noPlan(file, 'its schema is not raftctl.plan/1')
  for (const key of STRINGS) if (typeof value[key] !== 'string') throw noPlan(file, `${key} is missing`)
  for (const key of LISTS) if (!Array.isArray(value[key])) throw noPlan(file, `${key} is missing`)
  if (Number.isNaN(Date.parse(value.expiresAt as string))) throw noPlan(file, 'expiresAt is no time')
  if (typeof (value.action as { kind?: unknown } | undefined)?.kind !== 'string') throw noPlan(file, 'it says nothing to execute')
  return value as unknown as Plan
}

function contents(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new CliError('E_USAGE', `the plan cannot be read: ${(error as Error).message}`, { hint: 'Give the file that --plan-out wrote.' })
  }
}

function noPlan(file: string, why: string): CliError {
  return new CliError('E_USAGE', `${file} is no plan: ${why}`, { hint: 'Make one with --plan-out FILE.' })
}
