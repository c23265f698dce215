// Builds everything into dist/ and writes the command manifest. With --if-stale it does nothing when no source changed since
// the last build that succeeded.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
const stamp = join(dist, '.build-stamp')
const compiled = ['src', 'commands', 'test', 'bench', 'scripts', 'examples']

if (process.argv.includes('--if-stale') && isBuilt()) process.exit(0)
try {
  rmSync(stamp, { force: true })
  run('scripts/build-proto.mjs')
  removeOrphans()
  run('node_modules/typescript/bin/tsc')
  run('scripts/manifest.mjs')
  writeFileSync(stamp, sourceHash())
} catch (error) {
  // The step has printed why; a stack of this script would only bury it.
  console.error(`build: ${error.message}`)
  process.exit(1)
}

function run(script) {
  execFileSync(process.execPath, [join(root, script)], { cwd: root, stdio: 'inherit' })
}

function isBuilt() {
  return existsSync(stamp) && existsSync(join(root, 'oclif.manifest.json')) && readFileSync(stamp, 'utf8') === sourceHash()
}

function sourceHash() {
  const hash = createHash('sha256')
  const inputs = [...compiled, 'proto'].flatMap((folder) => filesUnder(join(root, folder)))
  const sources = inputs.filter((file) => /\.(ts|proto|mjs)$/.test(file) && !file.includes(join(root, 'src/generated')))
  for (const file of [...sources, join(root, 'package.json'), join(root, 'package-lock.json'), join(root, 'tsconfig.json')].sort())
    hash.update(relative(root, file)).update('\0').update(readFileSync(file)).update('\0')
  return hash.digest('hex')
}

/** A compiled file whose source is gone would still be a command, a test or an import that works on this machine only. */
function removeOrphans() {
  mkdirSync(dist, { recursive: true })
  for (const folder of compiled) {
    for (const file of filesUnder(join(dist, folder))) {
      const name = relative(dist, file)
      const source = name.startsWith('src/generated/') ? name : name.replace(/(\.d\.ts|\.js\.map|\.js)$/, '.ts')
      if (!existsSync(join(root, source))) rmSync(file)
    }
  }
}

function filesUnder(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
}
