// The test runner: a process per file, because uvu by itself exits 0 for a forgotten test.run(), for test.only and for nothing
// to run, and hangs on a leaked handle.
//   node scripts/test.mjs [--jobs 2] [--timeout 120] [--verbose] [part of a path | file]...
// A file that needs longer says so in a comment of its own:  // timeout: 300s
// One that measures time, and so must not share the machine, says why:  // alone: writes resume within two election timeouts
// The last line is always "N passed, N failed"; what is wrong with a file as a whole counts as one failed.
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { TestFile } from './test-runner/test-file.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { values: options, positionals: patterns } = parseArgs({
  allowPositionals: true,
  options: {
    jobs: { type: 'string', default: process.env.RAFTCTL_TEST_JOBS ?? '2' },
    timeout: { type: 'string', default: '120' },
    verbose: { type: 'boolean', default: false },
  },
})
const jobs = Math.max(1, Number(options.jobs))
const startedAt = Date.now()
const totals = { passed: 0, failed: 0, skipped: 0 }
const failures = []
const running = new Set()

const files = select()
if (files.length === 0) {
  console.log(`no test file matches ${patterns.join(' ')}`)
  totals.failed += 1
}
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    for (const file of running) file.kill()
    process.exit(signal === 'SIGINT' ? 130 : 143)
  })
}
const scratch = mkdtempSync(join(tmpdir(), 'raftctl-test-'))
const together = files.filter((file) => !file.alone)
await Promise.all(Array.from({ length: jobs }, () => work(together)))
await work(files.filter((file) => file.alone))
rmSync(scratch, { recursive: true, force: true })
summarize()

async function work(queue) {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    running.add(file)
    const result = await file.run(mkdtempSync(join(scratch, 't')))
    running.delete(file)
    totals.passed += result.passed
    totals.failed += result.failed
    totals.skipped += result.skipped
    console.log(line(result))
    if (result.failed > 0) failures.push(result)
    else if (options.verbose) console.log(result.output)
  }
}

function line({ name, passed, failed, skipped, assertions, seconds }) {
  const skips = skipped > 0 ? `, ${skipped} skipped` : ''
  return `${failed > 0 ? 'FAIL' : 'ok  '} ${name}  ${passed} of ${passed + failed}${skips}, ${assertions} assertions, ${seconds.toFixed(1)} s`
}

function summarize() {
  for (const { name, problems, output } of failures) {
    console.log(`\n---- ${name}`)
    if (output.trim() !== '') console.log(output.trimEnd())
    for (const problem of problems) console.log(`  ${problem}`)
  }
  const skips = totals.skipped > 0 ? `, ${totals.skipped} tests skipped` : ''
  console.log(`\n${files.length} files in ${((Date.now() - startedAt) / 1000).toFixed(1)} s${skips}`)
  console.log(`${totals.passed} passed, ${totals.failed} failed`)
  process.exitCode = totals.failed > 0 ? 1 : 0
}

/** Sources decide what there is to run: a compiled test whose source is gone is not run, a source that is not compiled fails. */
function select() {
  const test = (source) => {
    const path = resolve(root, source)
    const inside = relative(root, path)
    const compiled = path.endsWith('.ts') ? join(root, 'dist', inside.replace(/\.ts$/, '.js')) : path
    return new TestFile({ root, name: inside, source: path, compiled, timeoutSeconds: Number(options.timeout) })
  }
  const all = ['test', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((file) => file.endsWith('.test.ts'))
      .map((file) => join(folder, file)),
  )
  const chosen =
    patterns.length === 0
      ? all
      : patterns.flatMap((pattern) => (isFile(pattern) ? [pattern] : all.filter((file) => file.includes(pattern))))
  const byLength = (a, b) => b.timeoutSeconds - a.timeoutSeconds || a.name.localeCompare(b.name)
  return [...new Set(chosen)].map(test).sort(byLength)
}

function isFile(path) {
  return existsSync(path) && statSync(path).isFile()
}
