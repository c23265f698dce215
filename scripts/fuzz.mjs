// npm run fuzz: mutated inputs for every decoder. See test/README.md.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../dist/test/fuzz/main.js', import.meta.url))
if (!existsSync(main)) {
  console.error('The fuzzer is not compiled: run npm run build first.')
  process.exit(1)
}
process.exitCode = spawnSync(process.execPath, [main, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1
