// A process that runs one command line after another for a test, as bin/run.js would, without the 0.5 s of processor time that
// each start of one costs. What only a process of its own shows (signals, pipes, what keeps it alive) is tested by starting one.
import { Readable } from 'node:stream'
import { run, settings } from '@oclif/core'
import { reportStartupError } from '../../src/terminal/startup-error.js'

export interface WarmRequest {
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly input: string
  readonly root: string
}

export interface WarmAnswer {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** What `process.exit` throws here, so that nothing after it runs. */
class Exit extends Error {}

const EVENTS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'exit'] as const
settings.enableAutoTranspile = false

process.on('message', (request: WarmRequest) => {
  perform(request).then((answer) => process.send?.(answer))
})
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

async function perform({ args, env, cwd, input, root }: WarmRequest): Promise<WarmAnswer> {
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  const before = EVENTS.map((event) => process.listeners(event as 'exit'))
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, env)
  process.chdir(cwd)
  process.exitCode = undefined
  process.argv.splice(2, Number.POSITIVE_INFINITY, ...args)
  Object.defineProperty(process, 'stdin', { value: Readable.from(input === '' ? [] : [Buffer.from(input)]), configurable: true })
  collect(process.stdout, stdout)
  collect(process.stderr, stderr)
  const exited = new Promise<void>((resolve) => {
    process.exit = (code) => {
      process.exitCode = code ?? process.exitCode
      resolve()
      throw new Exit()
    }
  })
  await Promise.race([exited, command(args, root)])
  EVENTS.forEach((event, i) => {
    for (const listener of process.listeners(event as 'exit').filter((listener) => !before[i]!.includes(listener))) {
      process.removeListener(event, listener)
      if (event === 'exit') listener(Number(process.exitCode ?? 0))
    }
  })
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error')
  return { exitCode: Number(process.exitCode ?? 0), stdout: `${Buffer.concat(stdout)}`, stderr: `${Buffer.concat(stderr)}` }
}

async function command(args: readonly string[], root: string): Promise<void> {
  try {
    await run([...args], { root, userPlugins: false, devPlugins: false })
  } catch (error) {
    if (error instanceof Exit) return
    process.exitCode = await reportStartupError(error, args)
  }
}

function collect(stream: NodeJS.WriteStream, pieces: Buffer[]): void {
  stream.write = ((piece: string | Uint8Array, encoding?: unknown, done?: unknown) => {
    pieces.push(Buffer.from(piece as string))
    const written = typeof encoding === 'function' ? encoding : done
    if (typeof written === 'function') process.nextTick(written as () => void)
    return true
  }) as typeof stream.write
}
