/** Every exit code of raftctl and what it means; the same with and without `--json`. */
export const EXIT_CODES = {
  0: 'done, healthy, or the plan is safe',
  1: 'bug or unexpected error',
  2: 'usage: bad flag, bad value, missing argument',
  3: 'the question was answered and the answer is no: unhealthy, lagging, different',
  4: 'no leader or no quorum, so it cannot be done now',
  5: 'nothing reachable; the request was not sent',
  6: 'refused by a safety gate or by the state of this machine',
  7: 'not found',
  8: 'conflict: compare-and-swap failed, change pending, wrong cluster',
  9: 'authentication, authorisation or certificate',
  10: 'corruption or divergence found',
  11: 'partial: some targets failed; rows say which',
  12: 'not confirmed: declined, or needs --yes',
  13: 'outcome unknown: sent, no verdict before the deadline; may have been applied',
  124: 'the awaited condition was not met in time',
  127: 'no such command',
  130: 'interrupted (SIGINT)',
  143: 'terminated (SIGTERM)',
} as const

export type ExitCode = keyof typeof EXIT_CODES
