import { spawn } from 'node:child_process'
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CliError, isErrorCode } from '../terminal/errors.js'
import { shortPath } from '../terminal/paths.js'
import { addressOfNode } from './local-address.js'
import { NODE_FLAGS } from './node-flags.js'
import { processStart } from './process-control.js'
import type { LocalCluster, LocalNode } from './state-file.js'

/** A node process that was just started. */
export interface StartedNode {
  readonly node: LocalNode
  /** Settles when the process ends, with why. */
  readonly ended: Promise<CliError>
}

const ENTRY = join(dirname(fileURLToPath(import.meta.url)), '../../../bin/run.js')

export interface SpawnOptions {
  /** It lost its directory. */
  readonly rebuild: boolean
}

/** The node's own advice names its flag; here the start of the cluster sets it. */
const REBUILD = 'Put the directory back. If it is lost, empty it and start again: raftctl cluster start rebuilds it from the others.'

/** The command line of a node: what `raftctl node start` would be typed by hand. */
export function nodeArguments(cluster: LocalCluster, node: LocalNode, { rebuild }: SpawnOptions): string[] {
  return [
    'node',
    'start',
    '--name',
    node.name,
    '--listen',
    addressOfNode(node),
    ...origin(cluster, node),
    '--data',
    node.dataDir,
    '--cluster-id',
    cluster.clusterId,
    '--group',
    cluster.machine === undefined ? cluster.group : `${cluster.group}=${cluster.machine}`,
    '--election-timeout',
    `${cluster.electionTimeoutMs}ms`,
    '--transport',
    cluster.transport ?? 'grpc',
    ...(rebuild ? ['--rebuild'] : []),
    ...(cluster.enableFaults ? ['--enable-faults'] : []),
  ]
}

/** A founder names the founders; who came later names those that were there before. */
function origin({ nodes }: LocalCluster, node: LocalNode): string[] {
  if (node.joined)
    return [
      '--join',
      nodes
        .filter((one) => one.name !== node.name)
        .map(addressOfNode)
        .join(','),
    ]
  const founders = nodes.filter((one) => !one.joined)
  return ['--peers', founders.map(addressOfNode).join(','), '--names', founders.map((one) => one.name).join(',')]
}

/** Starts the process of a node, detached: it outlives this one. Its log goes to `logFile`. */
export async function spawnNode(cluster: LocalCluster, node: LocalNode, options: SpawnOptions): Promise<StartedNode> {
  mkdirSync(dirname(node.logFile), { recursive: true })
  const log = openSync(node.logFile, 'a')
  const logStart = fstatSync(log).size
  const argv = nodeArguments(cluster, node, options)
  try {
    const child = spawn(process.execPath, [...NODE_FLAGS, ENTRY, ...argv], {
      detached: true,
      // Not execa: loading it takes longer than everything else before the first node runs.
      stdio: ['ignore', 'ignore', log],
      cwd: dirname(node.logFile),
      env: nodeEnvironment(process.env),
    })
    const ended = new Promise<CliError>((resolve) => {
      child.once('error', (error) =>
        resolve(new CliError('E_INTERNAL', `${node.name}: its process could not be started: ${error.message}`)),
      )
      child.once('exit', (exitCode, signal) =>
        resolve(startFailure(node, logStart, exitCode === null ? `signal ${signal}` : `exit code ${exitCode}`)),
      )
    })
    if (child.pid === undefined) throw await ended
    child.unref()
    const started = { pid: child.pid, processStart: await processStart(child.pid), startedAt: new Date().toISOString() }
    return { node: { ...node, ...started, hasRun: true, argv }, ended }
  } finally {
    closeSync(log)
  }
}

/** Settings of the person's shell are not the node's. */
function nodeEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { RAFTCTL_JSON: _json, RAFTCTL_READ_ONLY: _readOnly, ...rest } = env
  return rest
}

/** Why a node ended: what it wrote last, else how it ended. */
function startFailure(node: LocalNode, logStart: number, how: string): CliError {
  for (const line of writtenSince(node.logFile, logStart).split('\n').reverse()) {
    const record = parseRecord(line)
    if (record?.level !== 'fatal') continue
    const code = record.code !== undefined && isErrorCode(record.code) ? record.code : 'E_INTERNAL'
    const hint = code === 'E_NEEDS_REBUILD' ? REBUILD : record.hint
    return new CliError(code, `${node.name}: ${record.msg ?? 'it stopped'}`, hint === undefined ? {} : { hint })
  }
  return new CliError('E_INTERNAL', `${node.name}: its process ended with ${how}`, { hint: `Read its log: ${shortPath(node.logFile)}` })
}

function writtenSince(file: string, start: number): string {
  try {
    return readFileSync(file).subarray(start).toString('utf8')
  } catch {
    // Somebody removed the log meanwhile.
    return ''
  }
}

function parseRecord(line: string): { level?: unknown; code?: string; msg?: string; hint?: string } | null {
  if (!line.startsWith('{')) return null
  try {
    return JSON.parse(line) as ReturnType<typeof parseRecord>
  } catch {
    // Half a line: the process ended while it wrote.
    return null
  }
}
