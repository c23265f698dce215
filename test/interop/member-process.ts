import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

const TAIL_BYTES = 3000

/** One process of a member, its log in a file that goes on from start to start. */
export class MemberProcess {
  private child: ChildProcess | null = null
  private ended: Promise<void> | null = null
  /** How it ended when nobody had asked it to. */
  problem: string | null = null

  constructor(
    private readonly name: string,
    private readonly logFile: string,
  ) {}

  get running(): boolean {
    return this.child !== null
  }

  start(command: string, args: readonly string[], workingDirectory: string): void {
    const log = openSync(this.logFile, 'a')
    const child = spawn(command, args, { cwd: workingDirectory, stdio: ['ignore', log, log] })
    closeSync(log)
    this.child = child
    this.ended = new Promise((resolve) => {
      const over = (how: string) => {
        if (this.child === child) {
          this.child = null
          this.problem ??= `${this.name} ended by itself (${how}):\n${this.tail()}`
        }
        resolve()
      }
      child.once('exit', (code, signal) => over(String(code ?? signal)))
      child.once('error', (error) => over(error.message))
    })
  }

  /** Ends it, and waits until it is gone. */
  async end(signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT'): Promise<void> {
    const { child } = this
    this.child = null
    child?.kill(signal)
    await this.ended
  }

  tail(): string {
    return readFileSync(this.logFile, 'utf8').slice(-TAIL_BYTES)
  }
}
