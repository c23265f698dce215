import { Flags } from '@oclif/core'
import { mutationFlags } from './flags.js'

/** For the commands about a group that lost its majority; nothing there can be forced. */
export const recoverFlags = {
  lost: Flags.string({ helpValue: '<a,b>', description: 'who is gone for good: names or addresses (default: all that do not answer)' }),
  reason: mutationFlags.reason,
}

/** The members in `--lost`; null when it was left out. */
export function lostOf(text: string | undefined): readonly string[] | null {
  if (text === undefined) return null
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}
