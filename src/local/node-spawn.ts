import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CliError, isErrorCode } from '../terminal/errors.js'
import { processStart } from './process-control.js'
import type { LocalCluster, LocalNode } from './state-file.js'

/** A node process that was just started. */
export interface StartedNode {
  readonly node: LocalNode
  /** Settles when the process ends, with why. */
  readonly ended: Promise<CliError>
}

const ENTRY = join(dirname(fileURLToPath(import.meta.url)), '../../../bin/run.js')

/** The command line of a node: what `raftctl node start` would be typed by hand. */
export function nodeArguments(cluster: LocalCluster, node: LocalNode): string[] {
  const address = (one: LocalNode) => `${one.host}:${one.port}`
  return [
    'node',
    'start',
    '--name',
    node.name,
    '--listen',
    address(node),
    '--peers',
    cluster.nodes.map(address).join(','),
    '--names',
    cluster.nodes.map((one) => one.name).join(','),
    '--data',
    node.dataDir,
    '--cluster-id',
    cluster.clusterId,
    '--group',
    cluster.group,
    '--election-timeout',
    `${cluster.electionTimeoutMs}ms`,
    ...(cluster.enableFaults ? ['--enable-faults'] : []),
  ]
}

/** Starts the process of a node, detached: it outlives this one. Its log goes to `logFile`. */
export async function spawnNode(cluster: LocalCluster, node: LocalNode): Promise<StartedNode> {
  mkdirSync(dirname(node.logFile), { recursive: true })
  const log = openSync(node.logFile, 'a')
  const logStart = statSync(node.logFile).size
  try {
    const { execa } = await import('execa')
    // execa takes any descriptor; its types stop at 9.
    const output = log as 9
    const child = execa(process.execPath, [ENTRY, ...nodeArguments(cluster, node)], {
      detached: true,
      cleanup: false,
      stdio: ['ignore', output, output],
      reject: false,
      buffer: false,
      cwd: dirname(node.logFile),
    })
    if (child.pid === undefined) throw new CliError('E_INTERNAL', `${node.name}: its process could not be started`)
    child.unref()
    const ended = Promise.resolve(child).then((result) => startFailure(node, logStart, result.exitCode ?? null))
    const started = { ...node, pid: child.pid, processStart: await processStart(child.pid), startedAt: new Date().toISOString(), hasRun: true }
    return { node: started, ended }
  } finally {
    closeSync(log)
  }
}

/** Why a node ended: what it wrote last, else its exit code. */
function startFailure(node: LocalNode, logStart: number, exitCode: number | null): CliError {
  const lines = readFileSync(node.logFile).subarray(logStart).toString('utf8').trim().split('\n')
  for (const line of lines.reverse()) {
    if (!line.startsWith('{')) continue
    try {
      const record = JSON.parse(line) as { level?: unknown; code?: string; msg?: string; hint?: string }
      if (record.level !== 'fatal' && record.level !== 60) continue
      const code = record.code !== undefined && isErrorCode(record.code) ? record.code : 'E_INTERNAL'
      return new CliError(code, `${node.name}: ${record.msg ?? 'it stopped'}`, record.hint === undefined ? {} : { hint: record.hint })
    } catch {
      // Half a line: the process ended while it wrote.
    }
  }
  return new CliError('E_INTERNAL', `${node.name}: its process ended${exitCode === null ? '' : ` with exit code ${exitCode}`}`, { hint: `Read its log: ${node.logFile}` })
}
