// Where a mutant is tried: a copy of the compiled sources and tests that a patch is applied to, and what runs there.
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import ts from 'typescript'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const SIM_TIME_LIMIT_S = 180
const TEST_TIME_LIMIT_MS = 240_000
const OWN = new Set(['src', 'dist', '.git'])

export class Bench {
  constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'raftctl-mutants-'))
    for (const part of ['dist/src', 'dist/test', 'dist/commands', 'src']) copy(part, this.path)
    for (const name of readdirSync(ROOT)) if (!OWN.has(name)) symlinkSync(join(ROOT, name), join(this.path, name))
    this.running = new Set()
  }

  remove() {
    for (const child of this.running) child.kill('SIGKILL')
    rmSync(this.path, { recursive: true, force: true })
  }

  /** Applies the patch and compiles what it touches; answers why it could not, or null. */
  apply({ path, files, strip }) {
    const foreign = files.find((file) => !/^src\/.*\.ts$/.test(file))
    if (foreign) return `it touches ${foreign}, and only sources under src can be compiled here`
    const git = spawnSync('git', ['apply', `-p${strip}`, '-C1', path], {
      cwd: this.path,
      encoding: 'utf8',
      env: { ...process.env, GIT_CEILING_DIRECTORIES: dirname(this.path) },
    })
    if (git.status !== 0) return git.stderr.trim()
    const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true }
    for (const file of files) {
      const source = readFileSync(join(this.path, file), 'utf8')
      const { outputText, diagnostics } = ts.transpileModule(source, { compilerOptions, reportDiagnostics: true, fileName: file })
      if (diagnostics?.length) return ts.flattenDiagnosticMessageText(diagnostics[0].messageText, '\n')
      const compiled = join(this.path, compiledOf(file))
      mkdirSync(dirname(compiled), { recursive: true })
      writeFileSync(compiled, outputText)
    }
    return null
  }

  restore({ files }) {
    for (const file of files.flatMap((name) => [name, compiledOf(name)])) {
      rmSync(join(this.path, file), { force: true })
      if (existsSync(join(ROOT, file))) copy(file, this.path)
    }
  }

  /** Titles of the tests of a compiled file that are red, or how the process ended; empty when all are green. */
  async redTests(target) {
    const { code, stdout, signal } = await this.spawn([join(this.path, 'dist', `${target}.js`)], TEST_TIME_LIMIT_MS)
    if (code === 0) return []
    const failed = [...stripVTControlCharacters(stdout).matchAll(/^.*FAIL\s+(.+)$/gm)].map((match) => match[1].trim())
    return failed.length > 0 ? failed : [signal ?? 'it failed']
  }

  /** The first seed that breaks an invariant within so many, and how; null when none does. */
  async violation(seeds) {
    const { stdout } = await this.simulate(['--seeds', String(seeds), '--time-limit', String(SIM_TIME_LIMIT_S)])
    const found = /^seed (\d+) VIOLATION after [\d.]+ ms: (.+)$/m.exec(stdout)
    if (!found) return null
    const tried = /^seeds=(\d+)/m.exec(stdout)?.[1] ?? '?'
    return { seed: Number(found[1]), tried, what: found[2] }
  }

  /** What too little happened of in so many seeds; null when enough did. */
  async belowFloors(seeds) {
    const { stdout } = await this.simulate(['--seeds', String(seeds), '--keep-going', '--time-limit', String(SIM_TIME_LIMIT_S)])
    return /^this run proves nothing: (.+)$/m.exec(stdout)?.[1] ?? null
  }

  async isSeedGreen(seed) {
    return (await this.simulate(['--seed', String(seed)])).code === 0
  }

  simulate(args) {
    return this.spawn([join(this.path, 'dist/test/simulation/main.js'), ...args], (SIM_TIME_LIMIT_S + 60) * 1000)
  }

  spawn(args, timeout) {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, args, { cwd: this.path, stdio: ['ignore', 'pipe', 'ignore'], timeout, killSignal: 'SIGKILL' })
      this.running.add(child)
      const chunks = []
      child.stdout.on('data', (chunk) => chunks.push(chunk))
      child.on('close', (code, signal) => {
        this.running.delete(child)
        resolve({ code, signal, stdout: Buffer.concat(chunks).toString() })
      })
    })
  }
}

function compiledOf(file) {
  return join('dist', file.replace(/\.ts$/, '.js'))
}

function copy(part, to) {
  mkdirSync(dirname(join(to, part)), { recursive: true })
  cpSync(join(ROOT, part), join(to, part), { recursive: true })
}
