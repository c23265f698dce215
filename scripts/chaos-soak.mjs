// npm run chaos:soak: real processes under load and faults, for as long as wanted. See test/README.md.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../dist/test/process/chaos/main.js', import.meta.url))
if (!existsSync(main)) {
  console.error('The tests are not compiled: run npm run build first.')
  process.exit(1)
}
const soak = spawn(process.execPath, [main, ...process.argv.slice(2)], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => soak.kill(signal))
soak.on('exit', (code) => (process.exitCode = code ?? 1))
