// What a test's process tells the runner: one JSON line per event, written at once so that nothing is lost in a crash.
import { appendFileSync } from 'node:fs'

const file = process.env.RAFTCTL_TEST_REPORT
// A process that the test starts must not write into this test's report.
delete process.env.RAFTCTL_TEST_REPORT

export const state = {
  enabled: file !== undefined,
  assertions: 0,
  pendingSuites: 0,
  /** Suite → names of tests that were registered after its last run(). */
  unrun: new Map(),
  whenIdle: () => undefined,
}

export function report(event) {
  if (state.enabled) appendFileSync(file, `${JSON.stringify(event)}\n`)
}
