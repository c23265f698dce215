// node scripts/interop.mjs --braft DIR: clusters of raftctl and braft processes. Not part of the tests. See test/README.md.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../dist/test/interop/main.js', import.meta.url))
if (!existsSync(main)) {
  console.error('The tests are not compiled: run npm run build first.')
  process.exit(1)
}
const suite = spawn(process.execPath, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => suite.kill(signal))
suite.on('exit', (code) => (process.exitCode = code ?? 1))
