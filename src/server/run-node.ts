import { type NodeConfiguration, type NodeFlags, parseConfiguration } from './configuration.js'
import { type Logger, logStartFailure, openLog } from './logging.js'
import { NodeProcess } from './node-process.js'
import { StartError, type StartErrorCode } from './start-error.js'

export { StartError } from './start-error.js'

export interface RunNodeOptions {
  /** Of the command line's registry. */
  readonly exitCodeOf: (code: StartErrorCode) => number
  /** Whether a directory that braft wrote may be taken over; null when it may. */
  readonly adoptionProblem: (configuration: NodeConfiguration) => Promise<AdoptionProblem | null>
}

/** Why braft's directory stays as it is. */
export interface AdoptionProblem {
  readonly code: StartErrorCode
  readonly message: string
  readonly hint: string
}

/** Why and how a node process ended well. */
export interface NodeRun {
  readonly name: string
  readonly peer: string
  readonly reason: string
}

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const

/**
 * Runs a node in this process until it is asked to stop: SIGTERM, SIGINT or Control.Shutdown. Throws StartError when it
 * cannot start or cannot go on. A second signal ends the process at once.
 */
export async function runNode(flags: NodeFlags, options: RunNodeOptions): Promise<NodeRun> {
  const configuration = configurationOf(flags, options)
  const log = openLogOrFail(configuration)
  watchForCrashes(log, options)
  const stop = stopRequest(log)
  const node = new NodeProcess(configuration, log, {
    requestStop: (graceMs) => stop.request('shutdown', graceMs),
    fail: (error) => stop.fail(error),
    checkAdoption: async (effective) => {
      const problem = await options.adoptionProblem(effective)
      if (problem) throw new StartError(problem.code, problem.message, problem.hint)
    },
  })
  try {
    await Promise.race([node.start(), stop.requested])
    const ended = await stop.requested
    await node.stop(ended.graceMs || undefined)
    return { name: configuration.name, peer: configuration.peerId.toString(), reason: ended.reason }
  } catch (error) {
    if (error instanceof StartError) logStartFailure(log, error, options.exitCodeOf(error.code))
    await node.stop(0)
    throw error
  }
}

/** A program that started the node reads its log, so that a bad flag is said there too. */
function configurationOf(flags: NodeFlags, { exitCodeOf }: RunNodeOptions): NodeConfiguration {
  try {
    return parseConfiguration(flags)
  } catch (error) {
    if (error instanceof StartError) {
      const { name = flags.listen, logFile = null } = flags
      logStartFailure(openLogOrFail({ name, logFile, logLevel: 'info' }), error, exitCodeOf(error.code))
    }
    throw error
  }
}

interface StopRequest {
  readonly reason: string
  /** 0: the default. */
  readonly graceMs: number
}

/** The first signal asks for a graceful stop, the second ends the process. */
function stopRequest(log: Logger): {
  requested: Promise<StopRequest>
  request(reason: string, graceMs: number): void
  fail(error: StartError): void
} {
  let resolveRequest: (request: StopRequest) => void = () => {}
  let fail: (error: StartError) => void = () => {}
  const requested = new Promise<StopRequest>((resolve, reject) => {
    resolveRequest = resolve
    fail = reject
  })
  let signals = 0
  const onSignal = (signal: keyof typeof EXIT_CODES) => {
    log.info({ signal }, 'process.signal')
    if (++signals > 1) process.exit(EXIT_CODES[signal])
    resolveRequest({ reason: signal, graceMs: 0 })
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  return { requested, request: (reason, graceMs) => resolveRequest({ reason, graceMs }), fail }
}

/** A broken invariant must not go on writing: the process ends, the others take over. */
function watchForCrashes(log: Logger, { exitCodeOf }: RunNodeOptions): void {
  const crash = (error: unknown) => {
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    const exitCode = exitCodeOf('E_INTERNAL')
    log.fatal({ code: 'E_INTERNAL', exitCode, hint: 'This is a bug: report it with the stack.', stack }, message)
    process.exit(exitCode)
  }
  process.on('uncaughtException', crash)
  process.on('unhandledRejection', crash)
}

function openLogOrFail(configuration: Parameters<typeof openLog>[0]): Logger {
  try {
    return openLog(configuration)
  } catch (error) {
    const hint = 'Give a file that this user can write to with --log-file.'
    throw new StartError('E_DATA_DIR', `the log file cannot be opened: ${(error as Error).message}`, hint, { cause: error })
  }
}
