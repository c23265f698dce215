// timeout: 600s
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PROJECT } from '../support/run-cli.js'

function check(...pages: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(PROJECT, 'scripts/run-docs.mjs'), '--check', ...pages], {
    cwd: PROJECT,
    encoding: 'utf8',
  })
  return { status, output: `${stdout}${stderr}` }
}

test('every command that the pages show ends as they say', () => {
  const { status, output } = check('README.md', 'docs/quickstart.md', 'docs/operate.md', 'docs/chaos.md')
  assert.is(status, 0, output)
  assert.match(output, /^([7-9]|1\d)\d commands of 4 pages, 0 ended otherwise/m)
})

test('a page that promises what does not happen is found', () => {
  const folder = mkdtempSync(join(tmpdir(), 'raftctl-pages-'))
  const page = join(folder, 'page.md')
  writeFileSync(page, '```console\n$ raftctl explain E_CAS\n$ raftctl explain E_CAS\n(exit 7)\n```\n')
  const { status, output } = check(page)
  rmSync(folder, { recursive: true })
  assert.is(status, 1)
  assert.match(output, '2 commands of 1 pages, 1 ended otherwise')
})

test('a page without a command is no success', () => {
  assert.is(check('LICENSE').status, 1)
})

test.run()
