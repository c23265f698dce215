// npm run coverage:sim [-- --seeds N]: how much of the engine and its storage the simulator alone reaches. Fails below the floor.
// Every file counts, loaded or not, but for those that hold types only and those that the simulator takes the place of.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const FLOOR = 85
const AREAS = ['src/raft', 'src/storage']
/**
 * The way to a real disk: the port itself, the lock between real processes, what looks at a directory from outside, LevelDB, which
 * writes past the port, and the watch over free space, for which the simulator says itself that a disk runs short.
 */
const REPLACED = ['node-file-system', 'lock', 'segment-file', 'merged-meta', 'meta-database', 'space-monitor'].map(
  (name) => `src/storage/${name}.ts`,
)
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const { values } = parseArgs({ options: { seeds: { type: 'string', default: '300' }, from: { type: 'string', default: '1' } } })

const scratch = mkdtempSync(join(tmpdir(), 'raftctl-coverage-'))
try {
  process.exitCode = measure()
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

function measure() {
  const main = join(ROOT, 'dist/test/simulation/main.js')
  if (!existsSync(main)) {
    console.error('The simulator is not compiled: run npm run build first.')
    return 2
  }
  const options = ['--all', '--exclude', '**/*.d.ts', '--reporter', 'json', '--temp-directory', scratch, '--reports-dir', scratch]
  for (const area of AREAS) options.push('--src', `dist/${area}`, '--include', `dist/${area}/**/*.js`, '--include', `${area}/**/*.ts`)
  const run = ['--seeds', values.seeds, '--from', values.from]
  const { status } = spawnSync(process.execPath, [join(ROOT, 'node_modules/c8/bin/c8.js'), ...options, process.execPath, main, ...run], {
    cwd: ROOT,
    stdio: 'inherit',
  })
  if (status !== 0) return 1
  const report = Object.values(JSON.parse(readFileSync(join(scratch, 'coverage-final.json'), 'utf8')))
  const files = report.map(linesOf).filter(({ name }) => hasCode(name) && !REPLACED.includes(name))
  let low = false
  for (const area of AREAS) {
    const own = files.filter(({ name }) => name.startsWith(`${area}/`)).sort((a, b) => a.covered / a.total - b.covered / b.total)
    for (const { name, total, covered, missing } of own) {
      if (covered < total) console.log(`${percent(covered, total)}  ${name}  not reached: ${missing}`)
    }
    const covered = own.reduce((sum, file) => sum + file.covered, 0)
    const total = own.reduce((sum, file) => sum + file.total, 0)
    low ||= total === 0 || (100 * covered) / total < FLOOR
    console.log(
      `${percent(covered, total)}  ${area}: ${covered} of ${total} lines in ${own.length} files; at least ${FLOOR} % are wanted\n`,
    )
  }
  console.log(`not counted: ${REPLACED.join(', ')}`)
  return low ? 1 : 0
}

function hasCode(name) {
  const compiled = readFileSync(join(ROOT, 'dist', name.replace(/\.ts$/, '.js')), 'utf8')
  return compiled.replace(/^\/\/.*$/gm, '').trim() !== 'export {};'
}

/** Each line is a statement of its own in what c8 writes. */
function linesOf({ path, s: counts, statementMap }) {
  const lines = Object.entries(statementMap).map(([id, { start }]) => ({ line: start.line, hit: counts[id] > 0 }))
  const missed = lines.filter(({ hit }) => !hit).map(({ line }) => line)
  return { name: relative(ROOT, path), total: lines.length, covered: lines.length - missed.length, missing: ranges(missed) }
}

function ranges(numbers) {
  const found = []
  for (const number of numbers) {
    const last = found.at(-1)
    if (last && number === last.to + 1) last.to = number
    else found.push({ from: number, to: number })
  }
  return found.map(({ from, to }) => (from === to ? from : `${from}-${to}`)).join(', ')
}

function percent(part, whole) {
  return `${(whole === 0 ? 0 : (100 * part) / whole).toFixed(1).padStart(5)} %`
}
