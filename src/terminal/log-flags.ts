import { Flags } from '@oclif/core'
import { CliError } from './errors.js'
import { wholeNumberFlag } from './flags.js'

const LAST = 20

/** Which entries of a log: the same for a node and for a directory. */
export const logFilterFlags = {
  type: Flags.string({ helpValue: '<type,…>', description: 'only these: data, config, noop' }),
  term: wholeNumberFlag({ min: 1, description: 'only entries of this term' }),
  grep: Flags.string({ helpValue: '<regexp>', description: 'only entries whose type or summary matches' }),
}

export const logRangeFlags = {
  from: wholeNumberFlag({ min: 1, description: 'first index' }),
  to: wholeNumberFlag({ min: 1, description: 'last index' }),
  last: wholeNumberFlag({ min: 1, description: `the newest <n> that match, when there is no --from (default ${LAST})` }),
  raw: Flags.option({ options: ['hex'] as const })({
    helpValue: 'hex',
    description: 'the data of each entry in hex, in place of the summary',
  }),
}

/** Reads `--from`, `--to` and `--last`; throws E_USAGE when they contradict each other. */
export function logRange(flags: {
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly last?: number | undefined
}) {
  const { from = null, to = null, last } = flags
  if (from !== null && last !== undefined)
    throw new CliError('E_USAGE', '--from and --last contradict each other', { hint: 'Give --from with --to, or --last alone.' })
  if (from !== null && to !== null && to < from)
    throw new CliError('E_USAGE', `--to ${to} lies before --from ${from}`, { hint: 'Swap them.' })
  return { from, to, last: last ?? LAST }
}
