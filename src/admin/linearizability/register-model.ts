import { ANY_STATE, type Model } from './model.js'

/** The value of a key; null: there is no such key. */
export interface Held {
  readonly value: string | null
  /** The revision that put it there, where it is known. */
  readonly revision?: number | undefined
}

export type CasExpected = { readonly value: string } | { readonly revision: number } | { readonly absent: true }

export type RegisterCall =
  | { readonly kind: 'get' }
  | { readonly kind: 'put'; readonly value: string }
  | { readonly kind: 'cas'; readonly expected: CasExpected; readonly value: string }
  | { readonly kind: 'delete' }

/** What was answered; what is left out was not told. */
export interface RegisterAnswer {
  /** What the key held before: what a get read, what a put replaced, what a cas found that did not swap. */
  readonly found?: Held
  /** A cas swapped; a delete found something to delete. */
  readonly done?: boolean
  /** The revision of the value that a put, or a cas that swapped, left behind. */
  readonly revision?: number
}

export const ABSENT: Held = { value: null }

/** A key of the key-value machine: put, get, compare-and-set and delete. */
export const registerModel: Model<Held, RegisterCall, RegisterAnswer> = {
  initial: ABSENT,

  step(state, call, answer) {
    if (answer?.found && !agrees(state, answer.found)) return undefined
    switch (call.kind) {
      case 'get':
        return better(state, answer?.found)
      case 'put':
        return written(call.value, answer)
      case 'delete':
        return answer?.done === undefined || answer.done === (state.value !== null) ? ABSENT : undefined
      case 'cas': {
        const swaps = meets(state, call.expected)
        if (answer === null) return swaps === false ? state : written(call.value, null)
        if (answer.done !== undefined && swaps !== null && answer.done !== swaps) return undefined
        const swapped = answer.done ?? swaps ?? true
        return swapped ? written(call.value, answer) : better(state, answer.found)
      }
    }
  },

  same: (a, b) => a.value === b.value && a.revision === b.revision,

  needs(call, answer) {
    if (answer?.found) return nameOf(answer.found)
    if (call.kind === 'put') return undefined
    if (call.kind === 'delete') return answer?.done === undefined ? undefined : answer.done ? ANY_STATE : nameOf(ABSENT)
    if (call.kind === 'get' || (answer !== null && answer.done !== true)) return ANY_STATE
    return nameExpected(call.expected)
  },

  makes(call, answer) {
    if (call.kind === 'get' || (call.kind === 'cas' && answer?.done === false)) return null
    return nameOf(call.kind === 'delete' ? ABSENT : call)
  },

  nameOf,

  describe(call, answer) {
    const found = answer?.found ? shown(answer.found) : ''
    const unknown = answer === null ? ' → ?' : ''
    switch (call.kind) {
      case 'get':
        return `get → ${found}`
      case 'put':
        return `put ${quoted(call.value)}${revision(answer?.revision)}${found && ` (was ${found})`}${unknown}`
      case 'delete':
        return `delete${answer?.done === undefined ? '' : answer.done ? ' → deleted' : ' → nothing there'}${found && ` (was ${found})`}${unknown}`
      case 'cas': {
        const verdict = answer?.done === undefined ? '' : answer.done ? ` → swapped${revision(answer.revision)}` : ' → not swapped'
        return `cas ${expectation(call.expected)} to ${quoted(call.value)}${verdict}${found && ` (found ${found})`}${unknown}`
      }
    }
  },

  describeState: shown,
}

/** Unknown revisions agree with every one. */
function agrees(state: Held, found: Held): boolean {
  if (state.value !== found.value) return false
  return state.revision === undefined || found.revision === undefined || state.revision === found.revision
}

/** The state, with the revision that a reader saw. */
function better(state: Held, found: Held | undefined): Held {
  return state.revision === undefined && found?.revision !== undefined && state.value !== null ? found : state
}

function written(value: string, answer: RegisterAnswer | null): Held {
  return { value, revision: answer?.revision }
}

/** Whether a compare-and-set swaps here; null: that hangs on a revision that nobody saw. */
function meets(state: Held, expected: CasExpected): boolean | null {
  if ('absent' in expected) return state.value === null
  if ('value' in expected) return state.value === expected.value
  if (state.value === null) return expected.revision === 0
  return state.revision === undefined ? null : state.revision === expected.revision
}

function nameOf({ value }: { readonly value: string | null }): string {
  return value === null ? '' : `=${value}`
}

function nameExpected(expected: CasExpected): string | typeof ANY_STATE {
  if ('absent' in expected) return nameOf(ABSENT)
  return 'value' in expected ? nameOf(expected) : ANY_STATE
}

function expectation(expected: CasExpected): string {
  if ('absent' in expected) return 'nothing'
  return 'value' in expected ? quoted(expected.value) : `revision ${expected.revision}`
}

function revision(number: number | undefined): string {
  return number === undefined ? '' : `@${number}`
}

function shown(held: Held): string {
  return held.value === null ? 'nothing' : `${quoted(held.value)}${revision(held.revision)}`
}

function quoted(value: string): string {
  return JSON.stringify(value.length > 40 ? `${value.slice(0, 39)}…` : value)
}
