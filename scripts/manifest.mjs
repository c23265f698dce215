// Writes oclif.manifest.json from the compiled commands, or with --check says whether the written one still describes them.
//   node scripts/manifest.mjs [--check] [--root DIR]
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { Plugin } from '@oclif/core'

const home = join(dirname(fileURLToPath(import.meta.url)), '..')
const args = process.argv.slice(2)
const root = args.includes('--root') ? resolve(args[args.indexOf('--root') + 1]) : home
const file = join(root, 'oclif.manifest.json')

if (args.includes('--check')) process.exitCode = await check()
else write()

function write() {
  const env = { ...process.env, OCLIF_SKIP_NEW_VERSION_CHECK: 'true' }
  const oclif = join(home, 'node_modules/oclif/bin/run.js')
  execFileSync(process.execPath, [oclif, 'manifest', root], { cwd: root, env, stdio: ['ignore', 'ignore', 'inherit'] })
}

async function check() {
  if (!existsSync(file)) return fail('oclif.manifest.json is missing')
  const written = JSON.parse(readFileSync(file, 'utf8'))
  const plugin = new Plugin({ errorOnManifestCreate: true, ignoreManifest: true, respectNoCacheDefault: true, root, type: 'core' })
  await plugin.load()
  const actual = JSON.parse(JSON.stringify(plugin.manifest))
  const ids = new Set([...Object.keys(written.commands), ...Object.keys(actual.commands)])
  const stale = [...ids].filter((id) => !isDeepStrictEqual(written.commands[id], actual.commands[id])).sort()
  if (stale.length > 0) return fail(`oclif.manifest.json does not describe the compiled command: ${stale.join(', ')}`)
  if (written.version !== actual.version)
    return fail(`oclif.manifest.json is of version ${written.version}, the package of ${actual.version}`)
  console.log(`manifest: ${ids.size} commands, up to date`)
  return 0
}

function fail(message) {
  console.error(`${message}\nwrite it again: npm run build`)
  return 1
}
