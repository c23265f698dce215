import { CliError } from '../../src/terminal/errors.js'

/** The error with which `act`, or what it promises, is refused; a bug is thrown on. */
export async function refused(act: Promise<unknown> | (() => unknown)): Promise<CliError> {
  try {
    await (typeof act === 'function' ? act() : act)
  } catch (thrown) {
    if (thrown instanceof CliError) return thrown
    throw thrown
  }
  throw new Error('nothing was refused')
}
