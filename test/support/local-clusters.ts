import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { processStat } from '../../src/storage/process-stat.js'
import { CliHome, type CliRun, PROJECT } from './run-cli.js'
import { problemsOf } from './schemas.js'

export interface NodeState {
  readonly name: string
  readonly port: number
  readonly dataDir: string
  readonly logFile: string
  readonly pid: number | null
  readonly processStart: string | null
}

export interface ClusterState {
  readonly name: string
  readonly clusterId: string
  readonly dir: string
  readonly nodes: readonly NodeState[]
}

// The documents of several commands, read by tests that know which one they asked for.
// biome-ignore lint/suspicious/noExplicitAny: each test names the fields it looks at
type Data = any

export interface Document {
  readonly schema: string
  readonly ok: boolean
  readonly exitCode: number
  readonly data: Data
  readonly error: { readonly code: string; readonly message: string; readonly hint: string; readonly details: Data }
  readonly warnings: readonly string[]
}

/** Local clusters in a home of their own; whatever still runs there is killed by `remove`. */
export class LocalClusters extends CliHome {
  readonly dataHome = join(this.directory, 'share')
  readonly configHome = join(this.directory, 'config')
  readonly clusters = join(this.dataHome, 'raftctl', 'clusters')

  override environment(): Record<string, string> {
    const token = process.env.RAFTCTL_TEST_TOKEN
    // The runner finds by its token what a test leaves running.
    return {
      ...super.environment(),
      XDG_DATA_HOME: this.dataHome,
      XDG_CONFIG_HOME: this.configHome,
      ...(token === undefined ? {} : { RAFTCTL_TEST_TOKEN: token }),
    }
  }

  /** Runs a command with --json and holds its one document to its schema and to the exit code. */
  async json(args: readonly string[], options: { readonly env?: Record<string, string> } = {}): Promise<Document> {
    const run = await this.run([...args, '--json'], options)
    return documentOf(run, args)
  }

  spawn(args: readonly string[]): { child: ChildProcess; stdout: () => string; stderr: () => string; ended: Promise<number | null> } {
    const child = spawn(process.execPath, [join(PROJECT, 'bin', 'run.js'), ...args], {
      cwd: this.directory,
      env: this.environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text))
    const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)))
    return { child, stdout: () => stdout, stderr: () => stderr, ended }
  }

  state(name: string): ClusterState {
    return JSON.parse(readFileSync(join(this.clusters, name, 'state.json'), 'utf8')) as ClusterState
  }

  contextFile(name: string): string {
    return join(this.configHome, 'raftctl', 'contexts', `${name}.json`)
  }

  /** Every file and directory below this home, relative to it. */
  files(): string[] {
    return readdirSync(this.directory, { recursive: true, encoding: 'utf8' }).sort()
  }

  /** The processes of nodes whose data is below this home. */
  processes(): number[] {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    return pids.filter((pid) => commandOf(pid).includes(`--data\0${this.directory}`)).map(Number)
  }

  override remove(): void {
    for (const pid of this.processes()) process.kill(pid, 'SIGKILL')
    super.remove()
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

export function documentOf(run: CliRun, args: readonly string[] = []): Document {
  assert.ok(run.stdout.startsWith('{'), `${args.join(' ')} printed ${JSON.stringify(run.stdout)} and ${run.stderr}`)
  const document = JSON.parse(run.stdout) as Document
  assert.equal(problemsOf(document), [], args.join(' '))
  assert.is(document.exitCode, run.exitCode, args.join(' '))
  return document
}

/** The first of `count` free ports in a row, below those that the system gives away. */
export async function freePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const first = 10_000 + Math.floor(Math.random() * 20_000)
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(first + i)))
    if (free.every((one) => one)) return first
  }
  throw new Error(`no ${count} free ports in a row`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** A process whose threads have not all ended is alive: it holds its port. */
export function isAlive(pid: number | null): boolean {
  const stat = pid === null ? null : processStat(pid)
  return stat !== null && stat !== 'gone'
}

/** Looks until `condition` holds; fails when it does not within `timeoutMs`. */
export async function until(condition: () => boolean, what: string, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`${what} did not happen within ${timeoutMs} ms`)
    await pause(10)
  }
}
