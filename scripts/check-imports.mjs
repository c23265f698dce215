// Who may import whom. Fails on an import that goes against the direction of the house, and on a cycle of folders.
//   node scripts/check-imports.mjs [root]
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..'))

/** Folder → the folders (or files) of ours that it may import besides itself. The longest prefix of a path decides its folder. */
const allowed = {
  'src/generated': [],
  'src/raft': [],
  'src/storage': ['src/raft', 'src/generated'],
  'src/rpc': ['src/raft', 'src/generated'],
  // Of the storage only braft's container for a message in a file, which its machines use too.
  'src/machines': ['src/raft', 'src/generated', 'src/rpc', 'src/storage/protobuf-file.ts'],
  'src/server': ['src/raft', 'src/generated', 'src/storage', 'src/rpc', 'src/machines'],
  // Of the terminal only the vocabulary: what an error is called, and what a connection is made of.
  'src/admin': [
    'src/raft',
    'src/generated',
    'src/storage',
    'src/rpc',
    'src/machines',
    'src/terminal/errors.ts',
    'src/terminal/connection.ts',
  ],
  // Of the storage only what the system says of a process.
  'src/local': ['src/storage/process-stat.ts', 'src/generated', 'src/rpc', 'src/admin', 'src/terminal', 'src/machines/machine.ts'],
  'src/terminal': ['src/generated'],
  commands: ['src/terminal', 'src/admin', 'src/local'],
  // The test kit: a second entry of the package, which nothing of the product imports.
  'src/testing': ['src/raft', 'src/storage', 'src/rpc/node-manager.ts'],
  // The library's public surface.
  'src/index.ts': ['src/raft', 'src/generated', 'src/storage', 'src/rpc', 'src/machines', 'src/server', 'src/admin'],
}
/** The one command that becomes a node. */
const exceptions = { 'commands/node/start.ts': ['src/server'] }
/** Packages that belong to one part of the house. */
const owners = {
  '@grpc/grpc-js': ['src/rpc', 'src/machines', 'src/server', 'src/admin', 'src/local'],
  '@oclif/core': ['commands', 'src/terminal'],
  inquirer: ['src/terminal', 'src/admin'],
  '@inquirer/prompts': ['src/terminal'],
  'cli-table3': ['src/terminal'],
  'cli-progress': ['src/terminal'],
}

const folders = Object.keys(allowed).sort((a, b) => b.length - a.length)
const problems = []
const edges = new Map()
let checked = 0

for (const file of sources()) {
  checked += 1
  const from = folderOf(file)
  if (from === null) problems.push(`${file}: this folder has no place in scripts/check-imports.mjs; say what it may import`)
  else for (const specifier of importsOf(file)) judge(file, from, specifier)
}
for (const cycle of cycles()) problems.push(`folders import each other in a circle: ${cycle.join(' -> ')}`)
for (const problem of problems) console.error(problem)
console.log(`imports: ${checked} files, ${problems.length} problems`)
process.exitCode = problems.length === 0 && checked > 0 ? 0 : 1

function judge(file, from, specifier) {
  if (!specifier.startsWith('.')) {
    const name = specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/')
    if (from === 'src/raft') problems.push(`${file}: the engine imports nothing from outside src/raft, but this imports ${specifier}`)
    else if (name in owners && !owners[name].includes(from)) problems.push(`${file}: ${name} belongs in ${owners[name].join(', ')}`)
    return
  }
  const target = relative(root, resolve(root, dirname(file), specifier)).replace(/\.js$/, '.ts')
  const to = folderOf(target)
  if (to === from) return
  if (to === null) problems.push(`${file}: imports ${target}, which is no part of the product`)
  else if (![...allowed[from], ...(exceptions[file] ?? [])].some((place) => place === to || place === target))
    problems.push(`${file}: ${from} may not import ${to} (${specifier})`)
  if (to !== null) edges.set(from, (edges.get(from) ?? new Set()).add(to))
}

function importsOf(file) {
  const text = readFileSync(join(root, file), 'utf8').replace(/^\s*(\/\/|\*|\/\*).*$/gm, '')
  const pattern = /\b(?:from|import)\s*\(?\s*'([^'\n]+)'|\brequire\(\s*'([^'\n]+)'/g
  return [...text.matchAll(pattern)].map((match) => match[1] ?? match[2])
}

function folderOf(file) {
  return folders.find((folder) => file === folder || file.startsWith(`${folder}/`)) ?? null
}

function sources() {
  return ['src', 'commands'].flatMap((folder) =>
    existsSync(join(root, folder))
      ? readdirSync(join(root, folder), { recursive: true })
          .map((file) => join(folder, file))
          .filter((file) => /\.(ts|js)$/.test(file) && !file.startsWith('src/generated/'))
      : [],
  )
}

function cycles() {
  const found = []
  const done = new Set()
  const visit = (folder, path) => {
    if (path.includes(folder)) found.push([...path.slice(path.indexOf(folder)), folder])
    else if (!done.has(folder)) {
      for (const next of edges.get(folder) ?? []) visit(next, [...path, folder])
      done.add(folder)
    }
  }
  for (const folder of edges.keys()) visit(folder, [])
  return found
}
