// npm run sim: the deterministic simulator. See test/README.md.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../dist/test/simulation/main.js', import.meta.url))
if (!existsSync(main)) {
  console.error('The simulator is not compiled: run npm run build first.')
  process.exit(1)
}
process.exitCode = spawnSync(process.execPath, [main, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1
