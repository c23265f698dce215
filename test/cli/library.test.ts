import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import * as library from '../../src/index.js'
import { PROJECT } from '../support/run-cli.js'

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
    'SynchronizedClosure',
    'RouteTable',
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

/** The TypeScript blocks of a page are one program, from top to bottom. */
function programOf(page: string): string {
  return [...readFileSync(page, 'utf8').matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, block]) => block).join('\n')
}

/** A package of a stranger, who has installed this one, with a program. Answers what the compiler says, and what the program prints. */
function compiledAndRun(programs: { readme: string; library: string; wrong: string }): {
  problems: string
  printed: { readme: string; library: string }
} {
  const directory = mkdtempSync(join(tmpdir(), 'raftctl-pages-'))
  try {
    mkdirSync(join(directory, 'node_modules'))
    symlinkSync(PROJECT, join(directory, 'node_modules/raftctl'))
    symlinkSync(join(PROJECT, 'node_modules/@types'), join(directory, 'node_modules/@types'))
    writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
    for (const [name, text] of Object.entries(programs)) writeFileSync(join(directory, `${name}.ts`), text)
    const options = '--strict --target es2023 --module nodenext --types node --skipLibCheck --pretty false'.split(' ')
    const files = Object.keys(programs).map((name) => `${name}.ts`)
    const tsc = join(PROJECT, 'node_modules/typescript/bin/tsc')
    const { stdout: problems } = spawnSync(process.execPath, [tsc, ...options, ...files], { cwd: directory, encoding: 'utf8' })
    const run = (name: string) => execFileSync(process.execPath, [`${name}.js`], { cwd: directory, encoding: 'utf8', timeout: 60_000 })
    // The compiler writes what it has problems with as well.
    const printed = { readme: run('readme'), library: run('library') }
    return { problems, printed }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

test('the programs of the pages compile for whoever installs the package, a misuse does not, and they do what they say', () => {
  const wrong = "import { PeerId } from 'raftctl'\nnew PeerId(7001, 'localhost')\n"
  const { problems, printed } = compiledAndRun({ readme: programOf('README.md'), library: programOf('docs/library.md'), wrong })
  assert.match(problems, /^wrong\.ts\(2,12\): error TS2345.*\n$/)
  assert.equal(printed, { readme: '2n\n', library: '42n\n' })
})

test.run()
