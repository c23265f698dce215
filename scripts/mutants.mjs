// npm run mutants [name…]: applies each known bug of test/mutants to a copy of the sources and expects a test to turn red.
//   --list: which test tells which situation of the catalogue, and which mutant turns it red; --write-tables: that into test/README.md.
// See test/README.md.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { catalogue, PATCHES, readMutants, readStories, writeTables } from './catalogue.mjs'

let ts

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SIM_TIME_LIMIT_S = 180
const TEST_TIME_LIMIT_MS = 120_000

function makeCopy() {
  const copy = mkdtempSync(join(tmpdir(), 'raftctl-mutants-'))
  cpSync(join(ROOT, 'dist/src'), join(copy, 'dist/src'), { recursive: true })
  cpSync(join(ROOT, 'dist/test'), join(copy, 'dist/test'), { recursive: true })
  cpSync(join(ROOT, 'src/raft'), join(copy, 'src/raft'), { recursive: true })
  cpSync(join(ROOT, 'src/storage'), join(copy, 'src/storage'), { recursive: true })
  cpSync(join(ROOT, 'package.json'), join(copy, 'package.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

/** Applies the patch and compiles what it touches; answers why it could not. */
function apply(mutant, copy) {
  const git = spawnSync('git', ['apply', '-C1', mutant.path], {
    cwd: copy,
    encoding: 'utf8',
    env: { ...process.env, GIT_CEILING_DIRECTORIES: dirname(copy) },
  })
  if (git.status !== 0) return git.stderr.trim()
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true }
  for (const file of mutant.files) {
    const { outputText, diagnostics } = ts.transpileModule(readFileSync(join(copy, file), 'utf8'), {
      compilerOptions,
      reportDiagnostics: true,
      fileName: file,
    })
    if (diagnostics?.length) return ts.flattenDiagnosticMessageText(diagnostics[0].messageText, '\n')
    writeFileSync(join(copy, 'dist', file.replace(/\.ts$/, '.js')), outputText)
  }
  return null
}

function restore(mutant, copy) {
  for (const file of mutant.files) {
    cpSync(join(ROOT, file), join(copy, file))
    const compiled = join('dist', file.replace(/\.ts$/, '.js'))
    cpSync(join(ROOT, compiled), join(copy, compiled))
  }
}

/**
 * Runs one killer; answers what it saw when it turned red, null when it stayed green. `test FILE ID`: a test whose title
 * begins with that id must be among the red ones.
 */
function run(killer, copy) {
  const [kind, target, id] = killer.split(' ')
  if (kind === 'sim') {
    const args = [join(copy, 'dist/test/simulation/main.js'), '--seeds', target, '--time-limit', String(SIM_TIME_LIMIT_S)]
    const { stdout } = spawnSync(process.execPath, args, { cwd: copy, encoding: 'utf8' })
    const violation = /^seed (\d+) VIOLATION after [\d.]+ ms: (.+)$/m.exec(stdout ?? '')
    const seeds = /^seeds=(\d+)/m.exec(stdout ?? '')
    return violation ? `the simulator, after ${seeds?.[1] ?? '?'} seeds (seed ${violation[1]}): ${violation[2]}` : null
  }
  const { status, stdout, signal } = spawnSync(process.execPath, [join(copy, 'dist', `${target}.js`)], {
    cwd: copy,
    encoding: 'utf8',
    timeout: TEST_TIME_LIMIT_MS,
  })
  if (status === 0) return null
  const failed = [...stripVTControlCharacters(stdout ?? '').matchAll(/^.*FAIL\s+(.+)$/gm)].map((match) => match[1].trim())
  if (id) {
    const title = failed.find((text) => text.includes(`"${id} `))
    return title ? `${target}: ${title}` : null
  }
  return `${target}: ${failed[0] ?? signal ?? 'it failed'}`
}

/** Titles of stories that stay green although they name this mutant. */
function greenStories(stories, copy) {
  const outputs = new Map()
  for (const target of new Set(stories.map((story) => story.target))) {
    const { stdout } = spawnSync(process.execPath, [join(copy, 'dist', `${target}.js`)], {
      cwd: copy,
      encoding: 'utf8',
      timeout: TEST_TIME_LIMIT_MS,
    })
    outputs.set(target, stripVTControlCharacters(stdout ?? ''))
  }
  return stories.filter((story) => !outputs.get(story.target).includes(`FAIL  "${story.title}"`)).map((story) => story.title)
}

/** A test that is red without any mutant kills nothing. */
function baselineProblems(mutants, copy) {
  const killers = mutants.flatMap((mutant) => mutant.killers).filter((killer) => killer.startsWith('test '))
  const problems = []
  for (const target of new Set(killers.map((killer) => killer.split(' ')[1]))) {
    if (!existsSync(join(copy, 'dist', `${target}.js`))) problems.push(`${target} does not exist`)
    else if (run(`test ${target}`, copy) !== null) problems.push(`${target} is red without a mutant`)
  }
  return problems
}

async function main() {
  const wanted = process.argv.slice(2)
  if (wanted[0] === '--list') {
    for (const { id, file, mutants } of catalogue()) console.log(`${id} ${file} ${mutants.join(',')}`.trimEnd())
    return 0
  }
  if (wanted[0] === '--write-tables') return writeTables()
  ts = (await import('typescript')).default
  const mutants = readMutants().filter((mutant) => wanted.length === 0 || wanted.includes(mutant.name))
  if (mutants.length === 0) {
    console.error(`no such mutant: ${wanted.join(' ')}`)
    return 2
  }
  const copy = makeCopy()
  mkdirSync(join(copy, 'dist'), { recursive: true })
  const stories = readStories()
  for (const name of stories.keys()) {
    if (existsSync(join(PATCHES, `${name}.patch`))) continue
    console.log(`ERROR     a story names the mutant ${name}, which does not exist`)
    return 1
  }
  let survivors = 0
  let broken = 0
  const startedAt = performance.now()
  try {
    const problems = baselineProblems(mutants, copy)
    for (const problem of problems) console.log(`ERROR     ${problem}`)
    if (problems.length > 0) return 1
    for (const mutant of mutants) {
      const since = performance.now()
      const problem = mutant.killers.length === 0 || !mutant.rule ? 'its header names no rule or no killer' : apply(mutant, copy)
      if (problem) {
        broken++
        console.log(`ERROR     ${mutant.name}: ${problem}`)
      } else {
        let killedBy = null
        for (const killer of mutant.killers) {
          killedBy = run(killer, copy)
          if (killedBy) break
        }
        const seconds = ((performance.now() - since) / 1000).toFixed(1)
        const green = greenStories(stories.get(mutant.name) ?? [], copy)
        if (!killedBy || green.length > 0) survivors++
        for (const title of green) console.log(`GREEN     ${mutant.name} leaves this story green, which names it: ${title}`)
        console.log(
          killedBy ? `killed    ${mutant.name} (${seconds} s) by ${killedBy}` : `SURVIVED  ${mutant.name} (${seconds} s): ${mutant.breaks}`,
        )
      }
      restore(mutant, copy)
    }
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
  console.log(`${mutants.length - survivors - broken} killed, ${survivors} survived, ${broken} could not be applied, ${seconds} s`)
  return survivors + broken > 0 ? 1 : 0
}

process.exitCode = await main()
