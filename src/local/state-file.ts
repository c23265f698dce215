import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeSync, fsyncSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { suggestion } from '../terminal/did-you-mean.js'
import { CliError } from '../terminal/errors.js'
import { dataDirectory } from '../terminal/paths.js'

/** A node of a local cluster as the state file knows it. */
export interface LocalNode {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly dataDir: string
  readonly logFile: string
  /** The process last started for it; null when it was stopped or never ran. */
  readonly pid: number | null
  /** When that process started, as the system says: a reused pid is told apart by it. */
  readonly processStart: string | null
  /** When it was last started, for people. */
  readonly startedAt: string | null
  /** It was up once: an empty directory then means that its past is lost. */
  readonly hasRun: boolean
}

/** A local cluster: everything that is needed to start it again as it was. */
export interface LocalCluster {
  readonly version: 1
  readonly name: string
  readonly clusterId: string
  readonly group: string
  /** Where the data of its nodes is. */
  readonly dir: string
  readonly createdAt: string
  readonly electionTimeoutMs: number
  readonly enableFaults: boolean
  /** Removed when it is stopped. */
  readonly ephemeral: boolean
  readonly nodes: readonly LocalNode[]
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const LOCK_STALE_MS = 60_000

export function clustersDirectory(): string {
  return join(dataDirectory(), 'clusters')
}

export function clusterDirectory(name: string): string {
  if (!NAME.test(name)) {
    throw new CliError('E_USAGE', `${JSON.stringify(name)} cannot name a cluster`, {
      hint: 'Letters, digits, dot, dash and underscore, beginning with a letter or digit.',
    })
  }
  return join(clustersDirectory(), name)
}

export function clusterNames(): string[] {
  const root = clustersDirectory()
  return existsSync(root) ? readdirSync(root).filter((name) => existsSync(join(root, name, 'state.json'))).sort() : []
}

export function findCluster(name: string): LocalCluster | null {
  const file = join(clusterDirectory(name), 'state.json')
  if (!existsSync(file)) return null
  try {
    const state = JSON.parse(readFileSync(file, 'utf8')) as LocalCluster
    if (state.version === 1 && Array.isArray(state.nodes)) return state
  } catch (error) {
    throw new CliError('E_CONFIG', `${file}: ${(error as Error).message}`, { hint: `Mend the file, or remove the cluster: raftctl cluster rm ${name}` })
  }
  throw new CliError('E_CONFIG', `${file}: not a state file of this raftctl`, { hint: 'It was written by another version.' })
}

/** Throws E_NO_CLUSTER with the likely name when there is none. */
export function readCluster(name: string): LocalCluster {
  const cluster = findCluster(name)
  if (cluster) return cluster
  const names = clusterNames()
  throw new CliError('E_NO_CLUSTER', `no local cluster named ${name}${suggestion(name, names)}`, {
    hint: names.length > 0 ? `clusters: ${names.join(', ')}` : 'Start one: raftctl cluster start',
    details: { cluster: name, clusters: names },
  })
}

export function readNode(cluster: LocalCluster, name: string): LocalNode {
  const node = cluster.nodes.find((one) => one.name === name || `${one.host}:${one.port}` === name)
  if (node) return node
  const names = cluster.nodes.map((one) => one.name)
  throw new CliError('E_NO_SUCH_NODE', `cluster ${cluster.name} has no node ${name}${suggestion(name, names)}`, {
    hint: `nodes: ${names.join(', ')}`,
    details: { node: name, nodes: names },
  })
}

/** Writes the state whole or not at all. Call it under `withClusterLock`. */
export function writeCluster(cluster: LocalCluster): void {
  const directory = clusterDirectory(cluster.name)
  mkdirSync(directory, { recursive: true })
  const file = join(directory, 'state.json')
  const temporary = `${file}.${process.pid}.tmp`
  const descriptor = openSync(temporary, 'w', 0o600)
  try {
    writeSync(descriptor, `${JSON.stringify(cluster, null, 2)}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(temporary, file)
}

export function updateNodes(cluster: LocalCluster, change: (node: LocalNode) => LocalNode): LocalCluster {
  const next = { ...cluster, nodes: cluster.nodes.map(change) }
  writeCluster(next)
  return next
}

export function forgetCluster(name: string): void {
  rmSync(clusterDirectory(name), { recursive: true, force: true })
}

/** Forgets a cluster whose data stays. */
export function forgetState(name: string): void {
  const directory = clusterDirectory(name)
  rmSync(join(directory, 'state.json'), { force: true })
  if (existsSync(directory) && readdirSync(directory).length === 0) rmSync(directory, { recursive: true })
}

/** Runs `act` while no other raftctl changes this cluster's state. */
export async function withClusterLock<T>(name: string, act: () => Promise<T>): Promise<T> {
  mkdirSync(clustersDirectory(), { recursive: true })
  const file = `${clusterDirectory(name)}.lock`
  const deadline = Date.now() + 30_000
  for (;;) {
    try {
      closeSync(openSync(file, 'wx', 0o600))
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      if (isStale(file)) rmSync(file, { force: true })
      else if (Date.now() > deadline) throw new CliError('E_CONFIG_PENDING', `another raftctl is changing cluster ${name}`, { hint: `If none runs, remove ${file}` })
      else await pause(50)
    }
  }
  try {
    return await act()
  } finally {
    rmSync(file, { force: true })
  }
}

function isStale(file: string): boolean {
  try {
    return Date.now() - statSync(file).mtimeMs > LOCK_STALE_MS
  } catch {
    return false
  }
}
