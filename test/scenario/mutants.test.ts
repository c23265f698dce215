import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** One for each way of being killed; `npm run mutants` runs all of them. */
const SAMPLE = [
  'ack-before-sync',
  'commit-old-term-by-counting',
  'late-write-vouches',
  'no-stickiness',
  'read-without-confirmation',
  'torn-tail-accepted',
  'vote-not-persisted',
]

function mutants(...names: string[]): { status: number | null; stdout: string } {
  const { status, stdout } = spawnSync(process.execPath, [`${ROOT}scripts/mutants.mjs`, ...names], { encoding: 'utf8' })
  return { status, stdout }
}

test('J05 known bugs, put back, turn a test red', () => {
  const { status, stdout } = mutants(...SAMPLE)
  assert.is(status, 0, stdout)
  for (const name of SAMPLE) assert.match(stdout, new RegExp(`^killed +${name} `, 'm'))
})

test('a mutant that does not exist is no success', () => {
  const { status } = mutants('no-such-mutant')
  assert.is(status, 2)
})

test('every mutant names its rule, and the table lists it', () => {
  const patches = readdirSync(`${ROOT}test/mutants`).filter((file) => file.endsWith('.patch'))
  assert.ok(patches.length >= 12, `${patches.length} mutants`)
  const table = readFileSync(`${ROOT}test/README.md`, 'utf8')
  for (const patch of patches) {
    const text = readFileSync(`${ROOT}test/mutants/${patch}`, 'utf8')
    assert.match(text, /^rule: .+\nbreaks: .+\nkilled-by: .+/, patch)
    assert.ok(table.includes(`\`${patch.replace('.patch', '')}\``), `${patch} is not in test/README.md`)
  }
})

test.run()
