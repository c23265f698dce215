import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import * as library from '../../src/index.js'

const EXAMPLE = fileURLToPath(new URL('../../examples/counter.js', import.meta.url))

const test = suite('the library')

test('offers the parts of braft by their names', () => {
  const names = [
    'Node',
    'StateMachine',
    'Closure',
    'ClosureGuard',
    'PeerId',
    'Configuration',
    'NodeManager',
    'ReplicatorGroup',
    'SegmentLogStorage',
    'MemoryLogStorage',
    'FileRaftMetaStorage',
    'SnapshotExecutor',
    'LocalSnapshotStorage',
  ]
  assert.equal(
    names.filter((name) => typeof (library as Record<string, unknown>)[name] !== 'function'),
    [],
  )
})

test('docs/library.md lists what is exported at run time, and nothing else', () => {
  const page = readFileSync('docs/library.md', 'utf8')
  const table = page.slice(page.indexOf('## What is exported'), page.indexOf('| types only |'))
  const listed = [...table.matchAll(/`(\w+)`/g)].map(([, name]) => name!)
  assert.ok(listed.length > 30)
  assert.equal(listed.sort(), Object.keys(library).sort())
})

test('the example counts on from what its last run left on disk', () => {
  const directory = mkdtempSync(join(tmpdir(), 'raftctl-example-'))
  try {
    const run = (amount: string) =>
      execFileSync(process.execPath, [EXAMPLE, directory, amount], { encoding: 'utf8', timeout: 20_000 }).trim()
    assert.is(run('40'), '40')
    assert.is(run('2'), '42')
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

test.run()
