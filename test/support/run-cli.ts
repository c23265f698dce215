import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { WarmProcess } from './warm-process.js'

const here = dirname(fileURLToPath(import.meta.url))
/** The project, seen from dist/test/support. */
export const PROJECT = join(here, '..', '..', '..')
const BIN = join(PROJECT, 'bin', 'run.js')

export interface CliRun {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * A home of its own: contexts and settings of the person who runs the tests stay out of it. A warm one runs its commands in a
 * process that is kept (warm-cli.ts), for tests of many commands that look only at what they print and their exit codes.
 */
export class CliHome {
  readonly directory = mkdtempSync(join(tmpdir(), 'raftctl-cli-'))

  constructor(private readonly kind: 'warm' | 'cold' = 'cold') {}

  /** Runs the real commands, in this home, without a terminal. */
  async run(
    args: readonly string[],
    options: { readonly env?: Record<string, string>; readonly input?: string; readonly cwd?: string; readonly timeoutMs?: number } = {},
  ): Promise<CliRun> {
    const env = { ...this.environment(), ...options.env }
    const timeoutMs = options.timeoutMs ?? 20_000
    if (this.kind === 'warm') {
      const request = { args, env, cwd: options.cwd ?? this.directory, input: options.input ?? '', root: PROJECT }
      return WarmProcess.run(request, timeoutMs)
    }
    const result = await execa(process.execPath, [BIN, ...args], {
      cwd: options.cwd ?? this.directory,
      env,
      extendEnv: false,
      input: options.input ?? '',
      reject: false,
      stripFinalNewline: false,
      timeout: timeoutMs,
    })
    return { exitCode: result.exitCode ?? -1, stdout: String(result.stdout), stderr: String(result.stderr) }
  }

  /** The same, left running; its lines can be iterated. */
  start(args: readonly string[]) {
    return execa(process.execPath, [BIN, ...args], {
      cwd: this.directory,
      env: this.environment(),
      extendEnv: false,
      reject: false,
      timeout: 20_000,
    })
  }

  environment(): Record<string, string> {
    return { HOME: this.directory, PATH: process.env.PATH ?? '', LANG: 'C.UTF-8', NODE_ENV: 'production' }
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}
