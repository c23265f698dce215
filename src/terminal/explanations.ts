import { CONCEPTS, type Concept } from './concepts.js'
import { suggestion } from './did-you-mean.js'
import { CliError, ERRORS, type ErrorCode, isErrorCode } from './errors.js'
import { EXIT_CODES, type ExitCode } from './exit-codes.js'

/** `data` of `explain --json`. */
export interface Explanation {
  readonly kind: 'error' | 'exit-code' | 'concept'
  readonly name: string
  readonly summary: string
  readonly text: readonly string[]
  /** What to do about an error; null for everything else. */
  readonly act: string | null
  /** Of an error or of itself; null for a concept. */
  readonly exitCode: number | null
  /** Codes that end with this exit code. */
  readonly codes: readonly string[]
  /** Commands that show more. */
  readonly see: readonly string[]
  /** For `--voters`: what that many mean. */
  readonly quorum: Quorum | null
}

export interface Quorum {
  readonly voters: number
  readonly quorum: number
  readonly tolerates: number
}

export interface ExplainOptions {
  /** How many voters the question is about; null: it is not. */
  readonly voters: number | null
}

/** Explains an error code (`E_NO_LEADER` or `no-leader`), an exit code or a concept. Throws E_NO_TOPIC with the likely name. */
export function explain(words: string, options: ExplainOptions): Explanation {
  const concept = conceptOf(words)
  if (options.voters !== null && concept?.name !== 'quorum')
    throw new CliError('E_USAGE', '--voters goes with quorum only', { hint: `raftctl explain quorum --voters ${options.voters}` })
  if (concept) return ofConcept(concept, options)
  const code = words
    .trim()
    .toUpperCase()
    .replace(/[\s-]+/g, '_')
  for (const candidate of [code, `E_${code}`]) if (isErrorCode(candidate)) return ofError(candidate)
  if (/^\d+$/.test(code) && Number(code) in EXIT_CODES) return ofExitCode(Number(code) as ExitCode)
  throw unknown(words)
}

/** Everything that can be explained, as it is typed. */
export function topics(): string[] {
  return [...CONCEPTS.map((concept) => concept.name.replaceAll(' ', '-')), ...Object.keys(ERRORS)]
}

function conceptOf(words: string): Concept | null {
  const wanted = spaced(words)
  return CONCEPTS.find(({ name, aliases }) => [name, ...aliases].includes(wanted)) ?? null
}

function spaced(words: string): string {
  return words
    .trim()
    .toLowerCase()
    .replace(/[\s_-]+/g, ' ')
}

const NOTHING = { act: null, exitCode: null, codes: [], see: [], quorum: null } as const

function ofConcept({ name, summary, text, see }: Concept, { voters }: ExplainOptions): Explanation {
  return { ...NOTHING, kind: 'concept', name, summary, text, see, quorum: voters === null ? null : quorumOf(voters) }
}

function quorumOf(voters: number): Quorum {
  const quorum = Math.floor(voters / 2) + 1
  return { voters, quorum, tolerates: voters - quorum }
}

function ofError(code: ErrorCode): Explanation {
  const { exitCode, meaning, act } = ERRORS[code]
  return { ...NOTHING, kind: 'error', name: code, summary: meaning, text: [], act, exitCode }
}

function ofExitCode(exitCode: ExitCode): Explanation {
  const codes = Object.entries(ERRORS).flatMap(([code, entry]) => (entry.exitCode === exitCode ? [code] : []))
  return { ...NOTHING, kind: 'exit-code', name: String(exitCode), summary: EXIT_CODES[exitCode], text: [], exitCode, codes }
}

function unknown(words: string): CliError {
  const names = CONCEPTS.map((concept) => concept.name)
  const code = words
    .trim()
    .toUpperCase()
    .replace(/[\s-]+/g, '_')
  const like = /^E_/.test(code) ? suggestion(code, Object.keys(ERRORS)) : suggestion(spaced(words), [...names, ...aliases()])
  return new CliError('E_NO_TOPIC', `nothing explains ${words}${like || suggestion(`E_${code}`, Object.keys(ERRORS))}`, {
    hint: `concepts: ${names.join(', ')}; every E_CODE; every exit code`,
    details: { topic: words, concepts: names },
  })
}

function aliases(): string[] {
  return CONCEPTS.flatMap((concept) => concept.aliases)
}
