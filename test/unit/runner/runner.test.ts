// Every way in which a test file can look green without having tested anything turns the runner red.
import { spawn } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

interface Run {
  exitCode: number | null
  lines: string[]
}

/** What the runner must say of each fixture: null for nothing wrong. */
const verdicts: Record<string, { failed: number; says: string } | null> = {
  passing: null,
  'node-assert': null,
  skips: null,
  'alone-first': null,
  'alone-second': null,
  failing: { failed: 1, says: 'Expected values to be strictly equal' },
  'forgotten-run': { failed: 1, says: 'test.run() is missing, so these never ran: never runs' },
  'forgotten-suite': { failed: 1, says: 'test.run() is missing, so these never ran: never runs' },
  only: { failed: 1, says: 'test.only is left in: alone' },
  'no-tests': { failed: 1, says: 'it has no tests' },
  'no-assertions': { failed: 1, says: 'it makes no assertion' },
  'leaked-timer': { failed: 1, says: 'it did not exit after its tests; still open: Timeout' },
  'leaked-server': { failed: 1, says: 'it did not exit after its tests; still open: Server on' },
  'leaked-process': { failed: 1, says: 'it left a process running' },
  hangs: { failed: 1, says: 'it did not end within 1 s, in: waits for ever' },
  'never-settles': { failed: 1, says: 'it ended in the middle of: waits for what never comes' },
  crashes: { failed: 1, says: 'it ended in the middle of: kills itself (SIGKILL)' },
  'exits-early': { failed: 1, says: 'it ended in the middle of: exits as if all were well' },
  'before-throws': { failed: 3, says: 'the before hook threw: Error: no ground to stand on' },
  'after-throws': { failed: 2, says: 'the after hook threw: Error: could not clean up' },
  'unhandled-rejection': { failed: 1, says: 'nobody heard' },
}

const fixture = (name: string) => `test/fixtures/runner/${name}.mjs`

function runner(...args: string[]): Promise<Run> {
  const child = spawn(process.execPath, ['scripts/test.mjs', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })
  return new Promise((resolve) => child.on('close', (exitCode) => resolve({ exitCode, lines: output.trimEnd().split('\n') })))
}

let all: Run = { exitCode: null, lines: [] }

test.before(async () => {
  all = await runner('--jobs', '4', ...Object.keys(verdicts).map(fixture))
})

for (const [name, verdict] of Object.entries(verdicts)) {
  test(`${name}: ${verdict === null ? 'passes' : verdict.says}`, () => {
    const summary = all.lines.find((line) => line.includes(fixture(name)))
    assert.ok(summary, `the runner says nothing of ${name}`)
    assert.is(summary?.startsWith('ok  '), verdict === null)
    const start = all.lines.indexOf(`---- ${fixture(name)}`)
    assert.is(start !== -1, verdict !== null)
    if (verdict === null) return
    const end = all.lines.findIndex((line, index) => index > start && line.startsWith('---- '))
    assert.match(all.lines.slice(start, end === -1 ? undefined : end).join('\n'), verdict.says)
    const [, passed, total] = /(\d+) of (\d+)/.exec(summary ?? '') ?? []
    assert.is(Number(total) - Number(passed), verdict.failed)
  })
}

test('one bad file fails the whole run, and the last line counts it', () => {
  const failed = Object.values(verdicts).reduce((sum, verdict) => sum + (verdict?.failed ?? 0), 0)
  assert.is(all.exitCode, 1)
  assert.match(all.lines.at(-1) ?? '', new RegExp(`^\\d+ passed, ${failed} failed$`))
})

test('good files pass', async () => {
  const { exitCode, lines } = await runner(fixture('passing'), fixture('node-assert'))
  assert.is(lines.at(-1), '3 passed, 0 failed')
  assert.is(exitCode, 0)
})

test('a pattern that matches nothing fails', async () => {
  const { exitCode, lines } = await runner('no-such-test-anywhere')
  assert.is(lines.at(-1), '0 passed, 1 failed')
  assert.is(exitCode, 1)
})

test.run()
