import { randomBytes } from 'node:crypto'
import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import type { MachineKind } from '../machines/machine.js'
import { CliError } from '../terminal/errors.js'
import { shortPath } from '../terminal/paths.js'
import { unusable } from './cluster-lock.js'
import type { StartOptions } from './cluster-start.js'
import type { Footprint } from './footprint.js'
import { choosePorts } from './ports.js'
import { clusterDirectory, type LocalCluster, withPortsLock, writeCluster } from './state-file.js'

const HOST = '127.0.0.1'
/** What a group is called when nobody says so: those of braft's examples as their clients expect it. */
const GROUPS: Readonly<Record<MachineKind, string>> = { kv: 'kv', counter: 'Counter', atomic: 'Atomic', block: 'Block' }
const NODES_MAX = 31

/** What a new cluster would be. Throws what would stand in its way. */
export async function planCluster(options: StartOptions): Promise<LocalCluster> {
  const count = options.nodes ?? 3
  if (count > NODES_MAX) throw new CliError('E_USAGE', `${count} nodes are too many for one machine`, { hint: `Up to ${NODES_MAX}.` })
  const dir = options.dir === null ? clusterDirectory(options.name) : resolve(options.dir)
  const ports = await choosePorts({ host: HOST, count, base: options.basePort })
  const cluster: LocalCluster = {
    version: 1,
    createdBy: packageVersion(),
    name: options.name,
    clusterId: randomBytes(16).toString('hex'),
    group: options.group ?? GROUPS[options.machine ?? 'kv'],
    ...(options.machine === null || options.machine === 'kv' ? {} : { machine: options.machine }),
    dir,
    createdAt: new Date().toISOString(),
    electionTimeoutMs: options.electionTimeoutMs ?? 1000,
    transport: options.transport ?? 'grpc',
    enableFaults: options.enableFaults ?? true,
    ephemeral: options.ephemeral,
    nodes: ports.map((port, i) => {
      const name = `n${i + 1}`
      const files = { dataDir: join(dir, name, 'data'), logFile: join(dir, name, 'raft.log') }
      return { name, host: HOST, port, ...files, pid: null, processStart: null, startedAt: null, hasRun: false, argv: [] }
    }),
  }
  refuseOldFiles(cluster)
  return cluster
}

/** Plans a cluster, writes it down and makes its directories, all of it in `footprint`. */
export async function createCluster(options: StartOptions, footprint: Footprint): Promise<LocalCluster> {
  // Until they are written down, nobody else may choose the same ports.
  return withPortsLock(async () => {
    const cluster = await planCluster(options)
    let making = cluster.dir
    try {
      for (const node of cluster.nodes) {
        making = dirname(node.logFile)
        footprint.makeNodeDirectory(making)
        accessSync(making, constants.W_OK)
      }
      making = clusterDirectory(cluster.name)
      footprint.makeDirectory(making)
      footprint.ownsState(cluster)
      writeCluster(cluster)
    } catch (error) {
      throw unusable(making, (error as Error).message)
    }
    return cluster
  })
}

/** What is there was not made by this cluster, and would be removed with it. */
function refuseOldFiles(cluster: LocalCluster): void {
  const old = cluster.nodes.map((node) => dirname(node.logFile)).find((directory) => existsSync(directory) && !isEmpty(directory))
  if (old === undefined) return
  throw new CliError('E_DATA_DIR', `${shortPath(old)} holds files already, and no local cluster knows them`, {
    hint: 'Choose another --dir or --name, or move the old files away.',
    details: { directory: old },
  })
}

function isEmpty(path: string): boolean {
  try {
    return readdirSync(path).length === 0
  } catch {
    return false
  }
}

function packageVersion(): string {
  const { version } = createRequire(import.meta.url)('../../../package.json') as { version: string }
  return version
}
