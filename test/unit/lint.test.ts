// The linters catch what they are there for: each rule gets a file that breaks it, and the same tree without these is clean.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

interface Plant {
  breaks: string
  file: string
  text: string
  says: string
}

const clean: Record<string, string> = {
  'src/raft/ballot.ts': "import type { Term } from './types.js'\n\nexport const first: Term = 1\n",
  'src/raft/types.ts': 'export type Term = number\n',
  'src/rpc/server.ts': "import { first } from '../raft/ballot.js'\n\nexport const term = first\n",
  'src/admin/status.ts': "import { term } from '../rpc/server.js'\n\nexport const status = async () => term + Date.now()\n",
  'commands/status.ts': "import { status } from '../src/admin/status.js'\n\nexport default status\n",
}

const style: Plant[] = [
  engine('imports a module of node', "import { readFileSync } from 'node:fs'\n\nexport const read = readFileSync\n", 'noRestrictedImports'),
  engine('imports another folder', "import { term } from '../rpc/server.js'\n\nexport const other = term\n", 'noRestrictedImports'),
  engine('imports a package', "import { pino } from 'pino'\n\nexport const log = pino\n", 'noRestrictedImports'),
  engine('imports at run time', "export const load = () => import('./ballot.js')\n", 'imports nothing at run time'),
  ...['Date.now()', 'performance.now()', 'process.pid', 'globalThis.name', 'new WeakRef({})', 'new FinalizationRegistry(String)'].map(
    (use) => engine(`uses ${use}`, `export const value = () => ${use}\n`, 'noRestrictedGlobals'),
  ),
  ...['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'fetch'].map((name) =>
    engine(`calls ${name}`, `export const later = (f: never) => ${name}(f)\n`, 'noRestrictedGlobals'),
  ),
  engine('draws from Math.random', 'export const draw = () => Math.random()\n', 'randomness only from its Environment'),
  engine('awaits', 'export const wait = async (p: PromiseLike<number>) => {\n  await p\n}\n', 'The engine does not await'),
  engine(
    'awaits in a loop',
    'export async function each(all: AsyncIterable<number>) {\n  for await (const one of all) one.toString()\n}\n',
    'does not await',
  ),
  engine('has an async method', 'export class Voter {\n  static async vote() {\n    return 1\n  }\n}\n', 'no async functions'),
  engine('makes a promise', 'export const promised = () => Promise.resolve(1)\n', 'noRestrictedGlobals'),
  {
    breaks: 'prints from a use case',
    file: 'src/admin/print.ts',
    text: "export const print = () => console.log('x')\n",
    says: 'noConsole',
  },
  { breaks: 'prints from a command', file: 'commands/print.ts', text: "export const print = () => console.log('x')\n", says: 'noConsole' },
  {
    breaks: 'imports in a circle',
    file: 'src/rpc/one.ts',
    text: "import { two } from './two.js'\n\nexport const one = () => two\n",
    says: 'noImportCycles',
  },
  {
    breaks: 'imports in a circle',
    file: 'src/rpc/two.ts',
    text: "import { one } from './one.js'\n\nexport const two = () => one\n",
    says: 'noImportCycles',
  },
  { breaks: 'is not formatted', file: 'src/rpc/format.ts', text: 'export const quoted = "x";\n', says: 'format' },
  {
    breaks: 'uses an undeclared package',
    file: 'src/rpc/lodash.ts',
    text: "export { map } from 'lodash'\n",
    says: 'noUndeclaredDependencies',
  },
]

const directions: Plant[] = [
  { breaks: 'the engine imports a package', file: 'src/raft/a.ts', text: "import 'pino'\n", says: 'the engine imports nothing' },
  {
    breaks: 'the engine imports node',
    file: 'src/raft/b.ts',
    text: "import type { Socket } from 'node:net'\n",
    says: 'the engine imports nothing',
  },
  {
    breaks: 'the engine imports rpc',
    file: 'src/raft/c.ts',
    text: "export * from '../rpc/server.js'\n",
    says: 'src/raft may not import src/rpc',
  },
  { breaks: 'rpc imports admin', file: 'src/rpc/d.ts', text: "import '../admin/status.js'\n", says: 'src/rpc may not import src/admin' },
  {
    breaks: 'storage imports rpc',
    file: 'src/storage/e.ts',
    text: "await import('../rpc/server.js')\n",
    says: 'src/storage may not import src/rpc',
  },
  {
    breaks: 'the terminal imports the engine',
    file: 'src/terminal/f.ts',
    text: "import '../raft/ballot.js'\n",
    says: 'src/terminal may not import src/raft',
  },
  {
    breaks: 'local imports the engine',
    file: 'src/local/g.ts',
    text: "import '../raft/ballot.js'\n",
    says: 'src/local may not import src/raft',
  },
  {
    breaks: 'a command imports the server',
    file: 'commands/h.ts',
    text: "import '../src/server/node.js'\n",
    says: 'commands may not import src/server',
  },
  {
    breaks: 'the product imports a test',
    file: 'src/server/i.ts',
    text: "import '../../test/simulation/disk.js'\n",
    says: 'no part of the product',
  },
  { breaks: 'storage uses gRPC', file: 'src/storage/j.ts', text: "import '@grpc/grpc-js'\n", says: '@grpc/grpc-js belongs in' },
  {
    breaks: 'a folder has no place',
    file: 'src/misc/k.ts',
    text: 'export const misc = 1\n',
    says: 'no place in scripts/check-imports.mjs',
  },
]

function engine(breaks: string, text: string, says: string): Plant {
  return { breaks: `the engine ${breaks}`, file: `src/raft/${breaks.replace(/\W+/g, '-')}.ts`, text, says }
}

let tree = ''

function plant(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'lint-'))
  cpSync('biome.json', join(root, 'biome.json'))
  cpSync('package.json', join(root, 'package.json'))
  cpSync('scripts/lint', join(root, 'scripts/lint'), { recursive: true })
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), text)
  }
  return root
}

/** One line per finding, with its file. */
function biome(root: string): { status: number | null; lines: string[] } {
  const bin = resolve('node_modules/@biomejs/biome/bin/biome')
  const args = [bin, 'check', '--error-on-warnings', '--vcs-enabled=false', '--max-diagnostics=none', '--reporter=github', '.']
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
  return { status, lines: `${stdout}\n${stderr}`.split('\n') }
}

function imports(root: string): { status: number | null; lines: string[] } {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/check-imports.mjs', root], { encoding: 'utf8' })
  return { status, lines: stderr.split('\n') }
}

let found: { status: number | null; lines: string[] } = { status: null, lines: [] }
let wrongWay: { status: number | null; lines: string[] } = { status: null, lines: [] }

test.before(() => {
  tree = plant({ ...clean, ...Object.fromEntries(style.map(({ file, text }) => [file, text])) })
  found = biome(tree)
  rmSync(tree, { recursive: true })
  tree = plant({ ...clean, ...Object.fromEntries(directions.map(({ file, text }) => [file, text])) })
  wrongWay = imports(tree)
  rmSync(tree, { recursive: true })
})

test('a clean tree is green', () => {
  tree = plant(clean)
  const style = biome(tree)
  assert.is(style.status, 0, style.lines.join('\n'))
  assert.is(imports(tree).status, 0)
  rmSync(tree, { recursive: true })
})

test('a tree with violations is red', () => {
  assert.is(found.status, 1)
  assert.is(wrongWay.status, 1)
})

for (const { breaks, file, says } of style) {
  test(`${breaks}: ${says} (${file})`, () => {
    const lines = found.lines.filter((line) => line.includes(`/${file},line=`))
    assert.ok(
      lines.some((line) => line.includes(says)),
      `of ${file} it said only: ${lines.join('\n')}`,
    )
  })
}

for (const { breaks, file, says } of directions) {
  test(`${breaks}: ${says}`, () => {
    assert.ok(
      wrongWay.lines.some((line) => line.startsWith(`${file}: `) && line.includes(says)),
      wrongWay.lines.join('\n'),
    )
  })
}

test('folders that import each other are a circle', () => {
  tree = plant({ ...clean, 'src/raft/back.ts': "import '../rpc/server.js'\n" })
  const { status, lines } = imports(tree)
  assert.is(status, 1)
  assert.ok(lines.some((line) => line.startsWith('folders import each other in a circle:') && line.includes('src/raft -> src/rpc')))
  rmSync(tree, { recursive: true })
})

test.run()
