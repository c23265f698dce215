#!/bin/sh
':' // ; exec node --initial-old-space-size=64 "$0" "$@"
'use strict'

// A shell runs the second line, and node knows it for a string: it says with which flags (src/local/node-flags.ts).

// CommonJS on purpose: libuv reads UV_THREADPOOL_SIZE when its pool is first used, which in an ES module entry is before the
// entry's first line. Eight threads keep one slow disk call (a snapshot, a segment being removed) from holding up log syncs.
process.env.UV_THREADPOOL_SIZE ??= '8'

const path = require('node:path')
const root = path.join(__dirname, '..')

/** Errors raised before a command exists: an unknown command, a broken installation, a hook that throws. */
async function startupExitCode(error) {
  if (error?.code === 'EEXIT') return error.oclif?.exit ?? 0
  const reporter = await import('../dist/src/terminal/startup-error.js').catch(() => null)
  if (reporter !== null) return reporter.reportStartupError(error, process.argv.slice(2))
  const message = error instanceof Error ? error.message : String(error)
  const hint = error?.code === 'ERR_MODULE_NOT_FOUND' ? ' (is it built? run: npm run build)' : ''
  process.stderr.write(`raftctl: ${message}${hint}\n`)
  return error?.oclif?.exit ?? 1
}

async function main() {
  const { run, settings } = await import('@oclif/core')
  // The built files are what runs, whatever NODE_ENV says: without this oclif looks for TypeScript sources in development.
  settings.enableAutoTranspile = false
  // Plugins are those of package.json: nothing is looked for in the user's data directory, which may not even be one.
  await run(process.argv.slice(2), { root, userPlugins: false, devPlugins: false })
}

if (process.argv[2] === '--version' || process.argv[2] === '-V') {
  const { name, version } = require('../package.json')
  process.stdout.write(`${name}/${version} ${process.platform}-${process.arch} node-${process.version}\n`)
} else if (process.argv[2] === '__complete') {
  // What the completion of a shell asks at every tab: no time to load a command for it.
  import('../dist/src/local/completion.js').then((completion) => completion.printCompletion(process.argv.slice(3))).catch(() => {})
} else {
  main().catch(async (error) => {
    const exitCode = await startupExitCode(error)
    process.stdout.write('', () => process.exit(exitCode))
  })
}
