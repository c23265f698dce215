// timeout: 300s
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
  const { status, stdout } = spawnSync(process.execPath, [`${ROOT}scripts/mutants.mjs`, ...names], { encoding: 'utf8', cwd: ROOT })
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

/** A change of `src/raft/ballot.ts` as somebody outside would hand it in. */
function patch(header: string, was: string, is: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'raftctl-patch-')), 'theirs.diff')
  const lines = readFileSync(`${ROOT}src/raft/ballot.ts`, 'utf8').split('\n')
  const at = lines.findIndex((line) => line.includes(was))
  assert.ok(at > 0, `${was} is not in ballot.ts any more`)
  const hunk = [`@@ -${at},3 +${at},3 @@`, ` ${lines[at - 1]}`, `-${lines[at]}`, `+${lines[at]!.replace(was, is)}`, ` ${lines[at + 1]}`]
  writeFileSync(path, `${header}--- a/src/raft/ballot.ts\n+++ b/src/raft/ballot.ts\n${hunk.join('\n')}\n`)
  return path
}

test('a mutant from outside that names no killer is tried against the tests of what it touches', () => {
  const { status, stdout } = mutants('--mutant-patch', patch('', '! < match', '! > match'))
  assert.is(status, 0, stdout)
  assert.match(stdout, /^killed +theirs \([\d.]+ s\) by test\/unit\/raft\//m)
})

test('a mutant from outside that nothing notices survives, and one that does not apply is no mutant', () => {
  const header = 'rule: none\nbreaks: nothing\nkilled-by: test test/unit/raft/peer-id.test\n\n'
  const harmless = mutants('--mutant-patch', patch(header, '! < match', '! > match'))
  assert.equal([harmless.status, /^SURVIVED +theirs /m.test(harmless.stdout)], [1, true], harmless.stdout)
  const path = patch(header, '! < match', '! > match')
  writeFileSync(path, readFileSync(path, 'utf8').replace('! < match', '! < much'))
  assert.is(mutants('--mutant-patch', path).status, 2)
  assert.is(mutants('--mutant-patch', `${path}.missing`).status, 2)
})

test('each of the nine bugs in braft is put back by a mutant', () => {
  const headers = readdirSync(`${ROOT}test/mutants`).map((file) => readFileSync(`${ROOT}test/mutants/${file}`, 'utf8'))
  const hazards = new Set(headers.flatMap((text) => /^hazard: (.+)$/m.exec(text)?.[1]?.split(', ') ?? []))
  assert.equal([...hazards].sort(), ['H1', 'H2', 'H3', 'H4', 'H5', 'H6', 'H7', 'H8', 'H9'])
})

test('every mutant still applies', () => {
  for (const file of readdirSync(`${ROOT}test/mutants`).filter((name) => name.endsWith('.patch'))) {
    const { status, stderr } = spawnSync('git', ['apply', '--check', '-C1', `test/mutants/${file}`], { cwd: ROOT, encoding: 'utf8' })
    assert.is(status, 0, `${file}: ${stderr}`)
  }
})

test('every mutant names its rule, and the table lists it', () => {
  const patches = readdirSync(`${ROOT}test/mutants`).filter((file) => file.endsWith('.patch'))
  assert.ok(patches.length >= 12, `${patches.length} mutants`)
  const table = readFileSync(`${ROOT}test/README.md`, 'utf8')
  for (const patch of patches) {
    const text = readFileSync(`${ROOT}test/mutants/${patch}`, 'utf8')
    assert.match(text, /^rule: .+\nbreaks: .+\n(hazard: .+\n)?killed-by: .+/, patch)
    assert.ok(table.includes(`\`${patch.replace('.patch', '')}\``), `${patch} is not in test/README.md`)
  }
})

test.run()
