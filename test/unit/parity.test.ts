// docs/braft-parity.md names tests that are there, and what is wrong with such a page is found.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const PAGE = readFileSync('docs/braft-parity.md', 'utf8')

function check(page: string): { status: number | null; stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), 'raftctl-parity-'))
  const path = join(folder, 'page.md')
  writeFileSync(path, page)
  const { status, stderr } = spawnSync(process.execPath, ['scripts/parity.mjs', '--check', path], { encoding: 'utf8' })
  rmSync(folder, { recursive: true })
  return { status, stderr }
}

const row = (name: string) => PAGE.split('\n').find((line) => line.startsWith(`| \`${name}\` |`))!
const without = (name: string) => PAGE.replace(`${row(name)}\n`, '')

/** A page with one thing wrong, and what must be said of it. */
const WRONG: Record<string, { page: string; says: RegExp }> = {
  'a test that was renamed': {
    page: PAGE.replaceAll('of four members three decide', 'of four members two decide'),
    says: /test\/unit\/raft\/ballot-box\.test\.ts has no test "of four members two decide"/,
  },
  'a file that is gone': {
    page: PAGE.replaceAll('`unit/raft/ballot-box`', '`unit/raft/ballots`'),
    says: /there is no test\/unit\/raft\/ballots\.test\.ts/,
  },
  'a row that was left out': { page: without('even_cluster'), says: /test_ballot_box: 2 rows, braft has 3 tests there/ },
  'a row that is there twice': {
    page: without('odd_cluster').replace(row('even_cluster'), `${row('even_cluster')}\n${row('even_cluster')}`),
    says: /test_ballot_box even_cluster is told twice/,
  },
  'a section that was left out': {
    page: PAGE.replace(/^## `test_util`[\s\S]*?(?=^## )/m, ''),
    says: /test_util: the page has no such section/,
  },
  'a row that is none': {
    page: PAGE.replace(row('even_cluster'), '| `even_cluster` | covered |'),
    says: /this is no row/,
  },
  'a verdict that is none': {
    page: PAGE.replace('| `even_cluster` | covered |', '| `even_cluster` | surely |'),
    says: /"surely" is none of/,
  },
  'covered by nothing': {
    page: PAGE.replace(row('even_cluster'), '| `even_cluster` | covered |  | somehow |'),
    says: /"covered" names at least one test of ours/,
  },
  'in part, without what is missing': {
    page: PAGE.replace('| `even_cluster` | covered |', '| `even_cluster` | in part |'),
    says: /"in part" says what differs/,
  },
}

test('the page is as it says', () => {
  const { status, stderr } = check(PAGE)
  assert.is(stderr, '')
  assert.is(status, 0)
})

for (const [what, { page, says }] of Object.entries(WRONG)) {
  test(`red: ${what}`, () => {
    assert.is.not(page, PAGE)
    const { status, stderr } = check(page)
    assert.match(stderr, says)
    assert.is(status, 1)
  })
}

test.run()
