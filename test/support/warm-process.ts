import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { WarmAnswer, WarmRequest } from './warm-cli.js'

const ENTRY = fileURLToPath(new URL('./warm-cli.js', import.meta.url))
const IDLE: WarmProcess[] = []

/** The test's end of warm-cli.ts: commands that run at the same time each have a process. */
export class WarmProcess {
  private readonly child: ChildProcess = fork(ENTRY, [], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })

  /** Like a process of its own that is killed when it takes longer: exit code -1. */
  static async run(request: WarmRequest, timeoutMs: number): Promise<WarmAnswer> {
    const warm = IDLE.pop() ?? new WarmProcess()
    const answer = await warm.perform(request, timeoutMs)
    if (answer === null) return { exitCode: -1, stdout: '', stderr: `killed after ${timeoutMs} ms` }
    IDLE.push(warm)
    return answer
  }

  private perform(request: WarmRequest, timeoutMs: number): Promise<WarmAnswer | null> {
    const { child } = this
    // Only a command that runs keeps the test alive.
    child.ref()
    child.channel?.ref()
    return new Promise((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
      const end = (answer: WarmAnswer | null) => {
        clearTimeout(timer)
        child.removeAllListeners()
        child.unref()
        child.channel?.unref()
        resolve(answer)
      }
      child.once('message', (answer) => end(answer as WarmAnswer))
      child.once('exit', () => end(null))
      child.send(request)
    })
  }
}
