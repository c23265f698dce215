// Writes docs/errors.md from the registry in src/terminal/errors.ts; with --check it fails when the page is stale.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { ERRORS } = await import(join(root, 'dist/src/terminal/errors.js'))
const { EXIT_CODES } = await import(join(root, 'dist/src/terminal/exit-codes.js'))
const page = join(root, 'docs/errors.md')

const byExit = Object.entries(ERRORS).sort(([, a], [, b]) => a.exitCode - b.exitCode)
const text = `# Errors and exit codes

Exit codes are the same with and without \`--json\`. This page is made from the registry: \`node scripts/errors-doc.mjs\`.

| exit code | meaning |
|---|---|
${Object.entries(EXIT_CODES)
  .map(([code, meaning]) => `| ${code} | ${meaning} |`)
  .join('\n')}

| code | exit | what it means | what to do |
|---|---|---|---|
${byExit.map(([code, entry]) => `| \`${code}\` | ${entry.exitCode} | ${entry.meaning} | ${entry.act} |`).join('\n')}
`
if (process.argv.includes('--check')) {
  if (readFileSync(page, 'utf8') !== text) {
    console.error('docs/errors.md is stale: node scripts/errors-doc.mjs')
    process.exit(1)
  }
} else writeFileSync(page, text)
