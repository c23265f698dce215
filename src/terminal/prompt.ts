import { CliError } from './errors.js'

export interface PromptRules {
  readonly json: boolean
  readonly noInput: boolean
  readonly env?: NodeJS.ProcessEnv
}

/** Questions are asked only where somebody can answer: a terminal on both ends, no JSON, no CI, no --no-input. */
export function mayPrompt(rules: PromptRules): boolean {
  const env = rules.env ?? process.env
  const inCi = env.CI !== undefined && env.CI !== '' && env.CI !== '0' && env.CI !== 'false'
  return !rules.json && !rules.noInput && !inCi && process.stdin.isTTY === true && process.stderr.isTTY === true
}

export interface Question {
  readonly message: string
  /** The flag that answers it without asking, such as `--yes`. */
  readonly flag: string
}

/** Asks y/N on stderr; the answer is No unless it is Yes. Throws E_NOT_CONFIRMED when declined or when nobody can be asked. */
export async function confirm(question: Question, rules: PromptRules): Promise<void> {
  requirePrompt(question, rules)
  const { confirm: ask } = await import('@inquirer/prompts')
  const agreed = await ask({ message: question.message, default: false }, { output: process.stderr })
  if (!agreed) throw new CliError('E_NOT_CONFIRMED', 'declined; nothing was changed', { hint: '' })
}

/** The severe kind: the name has to be typed. */
export async function confirmByName(question: Question, name: string, rules: PromptRules): Promise<void> {
  requirePrompt(question, rules)
  const { input } = await import('@inquirer/prompts')
  const typed = await input({ message: `${question.message} Type ${name} to continue:` }, { output: process.stderr })
  if (typed.trim() !== name)
    throw new CliError('E_NOT_CONFIRMED', `${JSON.stringify(typed)} is not ${name}; nothing was changed`, { hint: '' })
}

function requirePrompt(question: Question, rules: PromptRules): void {
  if (mayPrompt(rules)) return
  throw new CliError('E_NOT_CONFIRMED', `needs a yes and nobody can be asked: ${question.message}`, {
    hint: `Add ${question.flag}.`,
    details: { flag: question.flag },
  })
}
