import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { leftProcesses } from './left-processes.mjs'

const outputLimitBytes = 256 * 1024
const preload = new URL('./preload.mjs', import.meta.url).href

/** One test file in a process group of its own: runs it within its time limit and judges what came of it. */
export class TestFile {
  constructor({ root, name, source, compiled, timeoutSeconds }) {
    this.root = root
    this.name = name
    this.compiled = compiled
    const text = existsSync(source) ? readFileSync(source, 'utf8') : ''
    const declared = /^\s*\/\/ timeout: (\d+)s/m.exec(text)
    this.timeoutSeconds = declared === null ? timeoutSeconds : Number(declared[1])
    this.alone = /^\s*\/\/ alone: \S/m.test(text)
    this.child = null
    this.output = ''
    this.timedOut = false
    /** Marks the environment of everything the test starts, so that what it leaves behind is found even in another group. */
    this.token = randomUUID()
  }

  /** Runs the file with `directory` for its report and its temporary files. */
  async run(directory) {
    const startedAt = Date.now()
    if (!existsSync(this.compiled))
      return this.#verdict([], [`it is not compiled: run npm run build (or look at its compile errors)`], startedAt)
    const report = join(directory, 'report.jsonl')
    const exit = await this.#spawn(report, directory)
    const left = await leftProcesses(this.token, this.timedOut ? 0 : 2000)
    for (const { pid } of left) kill(pid)
    const events = existsSync(report)
      ? readFileSync(report, 'utf8')
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line))
      : []
    return this.#verdict(events, this.#problems(events, exit, left), startedAt)
  }

  kill() {
    if (this.child !== null) kill(-this.child.pid)
  }

  #spawn(report, directory) {
    const env = { ...process.env, RAFTCTL_TEST_REPORT: report, RAFTCTL_TEST_TOKEN: this.token, TMPDIR: directory }
    delete env.NODE_OPTIONS
    this.child = spawn(process.execPath, ['--import', preload, this.compiled], {
      cwd: this.root,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const collect = (chunk) => {
      this.output = (this.output + chunk).slice(-outputLimitBytes)
    }
    this.child.stdout.setEncoding('utf8').on('data', collect)
    this.child.stderr.setEncoding('utf8').on('data', collect)
    const timer = setTimeout(() => {
      this.timedOut = true
      this.kill()
    }, this.timeoutSeconds * 1000)
    return new Promise((resolve) => {
      this.child.on('exit', (code, signal) => {
        clearTimeout(timer)
        // What the test left running may hold the pipes open for ever: read what is there, then judge it by the processes.
        const drained = setTimeout(() => this.child.stdout.destroy() && this.child.stderr.destroy(), 300)
        this.child.on('close', () => {
          clearTimeout(drained)
          resolve({ code, signal })
        })
      })
    })
  }

  #problems(events, { code, signal }, left) {
    const of = (kind) => events.filter((event) => event.event === kind)
    const total = sum(of('suite'), 'total')
    const failed = total - sum(of('suite'), 'passed')
    const unrun = of('exit').flatMap((event) => event.unrun)
    const interrupted = this.timedOut || of('suite').length < of('queued').length
    const problems = of('hook').map((event) => `the ${event.kind} hook threw: ${event.error}`)
    if (this.timedOut) problems.push(`it did not end within ${this.timeoutSeconds} s, in: ${current(events)}`)
    else if (interrupted) problems.push(`it ended in the middle of: ${current(events)} (${how(code, signal)})`)
    else if ((code !== 0 || signal !== null) && failed === 0 && of('leak').length === 0) problems.push(`it ended with ${how(code, signal)}`)
    if (unrun.length > 0) problems.push(`test.run() is missing, so these never ran: ${unrun.join(', ')}`)
    else if (total === 0 && !interrupted) problems.push('it has no tests')
    if (total > 0 && !interrupted && (of('exit')[0]?.assertions ?? 0) === 0) problems.push('it makes no assertion')
    for (const { name } of of('only')) problems.push(`test.only is left in: ${name}`)
    for (const { handles } of of('leak')) problems.push(`it did not exit after its tests; still open: ${handles.join(', ') || 'unknown'}`)
    if (!this.timedOut) for (const { pid, command } of left) problems.push(`it left a process running: ${pid} ${command}`)
    return problems
  }

  #verdict(events, problems, startedAt) {
    const suites = events.filter((event) => event.event === 'suite')
    const passed = sum(suites, 'passed')
    const assertions = events.findLast((event) => event.assertions !== undefined)?.assertions ?? 0
    return {
      name: this.name,
      passed,
      failed: sum(suites, 'total') - passed + problems.length,
      skipped: sum(suites, 'skipped'),
      assertions,
      problems,
      output: this.output,
      seconds: (Date.now() - startedAt) / 1000,
    }
  }
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

function sum(events, field) {
  return events.reduce((total, event) => total + event[field], 0)
}

function current(events) {
  const last = events.findLast((event) => event.event === 'start')
  return last === undefined ? 'its start' : last.name
}

function how(code, signal) {
  return signal === null ? `exit code ${code}` : signal
}
