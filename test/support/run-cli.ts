import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

const here = dirname(fileURLToPath(import.meta.url))
/** The project, seen from dist/test/support. */
export const PROJECT = join(here, '..', '..', '..')
const BIN = join(PROJECT, 'bin', 'run.js')

export interface CliRun {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** A home of its own: contexts and settings of the person who runs the tests stay out of it. */
export class CliHome {
  readonly directory = mkdtempSync(join(tmpdir(), 'raftctl-cli-'))

  /** Runs the real binary, in this home, without a terminal. */
  async run(
    args: readonly string[],
    options: { readonly env?: Record<string, string>; readonly input?: string; readonly cwd?: string; readonly timeoutMs?: number } = {},
  ): Promise<CliRun> {
    const result = await execa(process.execPath, [BIN, ...args], {
      cwd: options.cwd ?? this.directory,
      env: { ...this.environment(), ...options.env },
      extendEnv: false,
      input: options.input ?? '',
      reject: false,
      stripFinalNewline: false,
      timeout: options.timeoutMs ?? 20_000,
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
