import type { SeededRandom } from '../support/fake-environment.js'

/** What a decoder made of some bytes: it refused them in the way that it says, or there is a value. */
export type Outcome = { readonly refused: string } | { readonly value: unknown; readonly encode?: (() => Buffer) | undefined }

/** One decoder of bytes that come from the network, from a disk or from a user. */
export interface Decoder {
  readonly name: string
  /** The exported functions, classes and constants that it runs, as `file name`. */
  readonly covers: readonly string[]
  /** Valid inputs, to be mutated. */
  samples(random: SeededRandom): readonly Buffer[]
  /** Throws only what nobody promised to throw. */
  run(bytes: Buffer, random: SeededRandom): Outcome
  /** Makes checksums right again, so that what lies behind them is reached too. */
  readonly reseal?: (bytes: Buffer) => Buffer
}

/** Refusals by an error of these classes are as documented; anything else is a bug. */
export function refusedBy(
  classes: readonly (new (...args: never[]) => Error)[],
  run: () => Exclude<Outcome, { refused: string }>,
): Outcome {
  try {
    return run()
  } catch (error) {
    if (classes.some((one) => error instanceof one) && !isOverflow(error)) return { refused: (error as Error).message }
    throw error
  }
}

/** A stack that overflowed is a refusal by luck: how deep it is then decides. */
export function isOverflow(error: unknown): boolean {
  return error instanceof RangeError && /call stack/.test(error.message)
}
