import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { MachineKind } from '../machines/machine.js'
import type { PeerProtocol } from '../rpc/peer-channel.js'
import { suggestion } from '../terminal/did-you-mean.js'
import { CliError } from '../terminal/errors.js'
import { dataDirectory, shortPath } from '../terminal/paths.js'
import { withLock } from './cluster-lock.js'

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
  /** What it was last started with. */
  readonly argv: readonly string[]
  /** It was added to the running cluster: no founder. */
  readonly joined?: boolean
}

/** A local cluster: everything that is needed to start it again as it was. */
export interface LocalCluster {
  readonly version: 1
  /** The raftctl that made it. */
  readonly createdBy: string
  readonly name: string
  readonly clusterId: string
  readonly group: string
  /** What the group runs; absent for the key-value store. */
  readonly machine?: MachineKind
  /** Where the data of its nodes is. */
  readonly dir: string
  readonly createdAt: string
  readonly electionTimeoutMs: number
  /** What its nodes speak to each other; absent: grpc. */
  readonly transport?: PeerProtocol
  readonly enableFaults: boolean
  /** Removed when it is stopped. */
  readonly ephemeral: boolean
  readonly nodes: readonly LocalNode[]
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

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
  return existsSync(root)
    ? readdirSync(root)
        .filter((name) => NAME.test(name) && existsSync(join(root, name, 'state.json')))
        .sort()
    : []
}

/** Null when there is none of this name. Throws E_CONFIG when its state cannot be read. */
export function findCluster(name: string): LocalCluster | null {
  const file = join(clusterDirectory(name), 'state.json')
  if (!existsSync(file)) return null
  let problem = 'not a state file of this raftctl'
  try {
    const state: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (isCluster(state)) return state
  } catch (error) {
    problem = (error as Error).message
  }
  throw new CliError('E_CONFIG', `${shortPath(file)}: ${problem}`, {
    hint: `Mend the file. Or stop the nodes of ${name} and remove ${shortPath(dirname(file))}: that loses what they hold.`,
    details: { cluster: name, file },
  })
}

function isCluster(state: unknown): state is LocalCluster {
  const { version, nodes } = (state ?? {}) as Partial<LocalCluster>
  return (
    version === 1 &&
    Array.isArray(nodes) &&
    nodes.length > 0 &&
    nodes.every((node) => typeof node?.name === 'string' && typeof node.port === 'number')
  )
}

/** Every cluster whose state can be read, and what is wrong with the others. */
export function allClusters(): { clusters: LocalCluster[]; problems: CliError[] } {
  const clusters: LocalCluster[] = []
  const problems: CliError[] = []
  for (const name of clusterNames()) {
    try {
      const cluster = findCluster(name)
      if (cluster) clusters.push(cluster)
    } catch (error) {
      if (!(error instanceof CliError)) throw error
      problems.push(error)
    }
  }
  return { clusters, problems }
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

/** Removes the state, and the directory if nothing else is in it. */
export function forgetCluster(name: string): void {
  const directory = clusterDirectory(name)
  for (const file of ['state.json', 'chaos.json']) rmSync(join(directory, file), { force: true })
  try {
    rmdirSync(directory)
  } catch {
    // What is left in it is not ours to remove.
  }
}

/** Runs `act` while no other raftctl changes this cluster. */
export function withClusterLock<T>(name: string, act: () => Promise<T>): Promise<T> {
  const directory = dirname(clusterDirectory(name))
  return withLock({ directory, name: `${name}.`, what: `cluster ${name}` }, act)
}

/** Runs `act` while no other raftctl chooses ports. */
export function withPortsLock<T>(act: () => Promise<T>): Promise<T> {
  return withLock({ directory: clustersDirectory(), name: '', what: 'the local clusters' }, act)
}
