import { randomBytes } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { CliError } from '../terminal/errors.js'
import { shortPath } from '../terminal/paths.js'
import { removeContext, saveContext, selection } from './context-store.js'
import { type LocalLeader, addressOfNode, awaitLeader, localClient } from './local-connection.js'
import { type StartedNode, spawnNode } from './node-spawn.js'
import { choosePorts, whyNotFree } from './ports.js'
import { awaitExit, processState, signal } from './process-control.js'
import { type LocalCluster, type LocalNode, clusterDirectory, findCluster, forgetCluster, updateNodes, withClusterLock, writeCluster } from './state-file.js'

export interface StartOptions {
  readonly name: string
  /** Null: as many as the existing cluster has, else 3. */
  readonly nodes: number | null
  readonly basePort: number | null
  /** Where the data goes; null: below the state file. */
  readonly dir: string | null
  readonly group: string
  readonly electionTimeoutMs: number | null
  readonly enableFaults: boolean
  readonly ephemeral: boolean
  readonly context: boolean
  readonly timeoutMs: number
}

export interface NodeStart {
  readonly node: LocalNode
  /** `started`; `running`, it was up already; `failed`, with why. */
  readonly outcome: 'started' | 'running' | 'failed'
  readonly error: CliError | null
}

export interface ClusterStart {
  readonly cluster: LocalCluster
  readonly created: boolean
  readonly nodes: readonly NodeStart[]
  readonly leader: LocalLeader | null
  readonly electedAfterMs: number | null
  /** The context made for it; null when none was wanted. */
  readonly context: string | null
  readonly previousContext: string | null
  readonly warnings: readonly string[]
  /** What decides the exit code; null when every node is up and one leads. */
  readonly error: CliError | null
}

const HOST = '127.0.0.1'

/**
 * Starts a local cluster, or what is down of an existing one. A new cluster whose start fails is taken away again, whole;
 * an existing one keeps what came up.
 */
export async function startCluster(options: StartOptions): Promise<ClusterStart> {
  return withClusterLock(options.name, async () => {
    const existing = findCluster(options.name)
    if (existing) {
      refuseOtherSpec(existing, options)
      return bringUp(existing, options, false)
    }
    return bringUp(await createCluster(options), options, true)
  })
}

/** What `cluster start` would do. */
export async function planStart(options: StartOptions): Promise<{ cluster: LocalCluster; created: boolean }> {
  const existing = findCluster(options.name)
  if (existing) {
    refuseOtherSpec(existing, options)
    return { cluster: existing, created: false }
  }
  return { cluster: await describe(options), created: true }
}

function refuseOtherSpec(existing: LocalCluster, options: StartOptions): void {
  const differences = [
    options.nodes !== null && options.nodes !== existing.nodes.length ? `it has ${existing.nodes.length} nodes, not ${options.nodes}` : null,
    options.basePort !== null && options.basePort !== existing.nodes[0]!.port ? `its first port is ${existing.nodes[0]!.port}, not ${options.basePort}` : null,
    options.dir !== null && resolve(options.dir) !== existing.dir ? `its data is in ${shortPath(existing.dir)}` : null,
    options.enableFaults && !existing.enableFaults ? 'it was made without --enable-faults' : null,
    options.electionTimeoutMs !== null && options.electionTimeoutMs !== existing.electionTimeoutMs ? `its election timeout is ${existing.electionTimeoutMs} ms` : null,
  ].filter((text) => text !== null)
  if (differences.length === 0) return
  throw new CliError('E_EXISTS', `cluster ${existing.name} exists and differs: ${differences.join('; ')}`, {
    hint: `Start it as it is: raftctl cluster start --name ${existing.name}\nOr another one: raftctl cluster start --name OTHER`,
  })
}

async function describe(options: StartOptions): Promise<LocalCluster> {
  const count = options.nodes ?? 3
  const ports = await choosePorts({ host: HOST, count, base: options.basePort })
  const dir = options.dir === null ? clusterDirectory(options.name) : isAbsolute(options.dir) ? options.dir : resolve(options.dir)
  return {
    version: 1,
    name: options.name,
    clusterId: randomBytes(16).toString('hex'),
    group: options.group,
    dir,
    createdAt: new Date().toISOString(),
    electionTimeoutMs: options.electionTimeoutMs ?? 1000,
    enableFaults: options.enableFaults,
    ephemeral: options.ephemeral,
    nodes: ports.map((port, i) => {
      const name = `n${i + 1}`
      return { name, host: HOST, port, dataDir: join(dir, name, 'data'), logFile: join(dir, name, 'raft.log'), pid: null, processStart: null, startedAt: null, hasRun: false }
    }),
  }
}

async function createCluster(options: StartOptions): Promise<LocalCluster> {
  const cluster = await describe(options)
  refuseOldData(cluster)
  try {
    writeCluster(cluster)
    for (const node of cluster.nodes) mkdirSync(dirname(node.logFile), { recursive: true })
    accessSync(cluster.dir, constants.W_OK)
  } catch (error) {
    forgetCluster(cluster.name)
    throw new CliError('E_DATA_DIR', `${shortPath(cluster.dir)} cannot be used: ${(error as Error).message}`, { hint: 'Choose another place with --dir, or make this one writable.' })
  }
  return cluster
}

function refuseOldData(cluster: LocalCluster): void {
  const old = cluster.nodes.find((node) => existsSync(node.dataDir))
  if (old) throw new CliError('E_DATA_DIR', `${shortPath(old.dataDir)} holds data of a cluster that has no state file`, { hint: 'Choose another --dir or --name, or move the old data away.' })
}

async function bringUp(cluster: LocalCluster, options: StartOptions, created: boolean): Promise<ClusterStart> {
  const warnings: string[] = []
  const startedAt = performance.now()
  const starts: { before: LocalNode; started: StartedNode | null; error: CliError | null }[] = []
  let current = cluster
  const failures = new Map<string, CliError>()
  for (const node of cluster.nodes) {
    const state = await processState(node)
    if (state === 'stale') warnings.push(`${node.name}: pid ${node.pid} of the state file is gone; starting it again`)
    if (state === 'paused') warnings.push(`${node.name} is paused; raftctl cluster resume ${node.name} lets it go on`)
    if (state === 'running' || state === 'paused') {
      starts.push({ before: node, started: null, error: null })
      continue
    }
    const problem = await whyNotFree(node.host, node.port)
    if (problem) failures.set(node.name, new CliError('E_PORT', `${node.name}: port ${node.port} on ${node.host} cannot be used: ${problem}`))
    const started = problem ? null : await spawnNode(cluster, node)
    started?.ended.then((error) => failures.set(node.name, error))
    starts.push({ before: node, started, error: null })
    if (started) current = updateNodes(current, (one) => (one.name === node.name ? started.node : one))
  }
  const attempted = starts.filter((start) => start.started !== null)
  using client = localClient(current)
  const allFailed = () => failures.size > 0 && (created || failures.size >= attempted.length)
  const up = () => current.nodes.filter((node) => !failures.has(node.name))
  const leader = await awaitLeader(client, current, { nodes: current.nodes, timeoutMs: options.timeoutMs, stop: allFailed })
  const electedAfterMs = Math.round(performance.now() - startedAt)
  // A node that refuses to start says so after its peers answered; a leader alone does not mean that all are up.
  if (leader && attempted.length > 0) await settle(client, up(), failures)
  current = updateNodes(current, (node) => (failures.has(node.name) ? { ...node, pid: null, processStart: null } : node))
  if (created && (failures.size > 0 || leader === null)) {
    await takeAway(current)
    throw [...failures.values()][0] ?? noLeader(current, options)
  }
  const previousContext = options.context ? select(current) : null
  return {
    cluster: current,
    created,
    nodes: starts.map(({ before, started }) => outcome(current, before, started, failures)),
    leader,
    electedAfterMs: attempted.length > 0 && leader ? electedAfterMs : null,
    context: options.context ? current.name : null,
    previousContext,
    warnings,
    error: [...failures.values()][0] ?? (leader ? null : noLeader(current, options)),
  }
}

function outcome(cluster: LocalCluster, before: LocalNode, started: StartedNode | null, failures: ReadonlyMap<string, CliError>): NodeStart {
  const error = failures.get(before.name) ?? null
  const node = cluster.nodes.find((one) => one.name === before.name)!
  return { node, outcome: error ? 'failed' : started ? 'started' : 'running', error }
}

/** Waits until every node answers or has failed. */
async function settle(client: ReturnType<typeof localClient>, nodes: readonly LocalNode[], failures: ReadonlyMap<string, CliError>): Promise<void> {
  const deadline = performance.now() + 5000
  const { setTimeout: pause } = await import('node:timers/promises')
  while (performance.now() < deadline) {
    const waiting = nodes.filter((node) => !failures.has(node.name))
    const replies = await client.ask(waiting.map(addressOfNode))
    if (replies.every((reply) => 'report' in reply && reply.report.leaderId !== null)) return
    await pause(25)
  }
}

function noLeader(cluster: LocalCluster, options: StartOptions): CliError {
  return new CliError('E_NO_LEADER', `no leader within ${options.timeoutMs} ms`, { hint: `Read the logs: raftctl cluster logs --name ${cluster.name}` })
}

async function takeAway(cluster: LocalCluster): Promise<void> {
  for (const node of cluster.nodes) if (node.pid !== null) signal(node.pid, 'SIGKILL')
  for (const node of cluster.nodes) await awaitExit(node, 5000)
  for (const node of cluster.nodes) rmSync(dirname(node.logFile), { recursive: true, force: true })
  forgetCluster(cluster.name)
  removeContext(cluster.name)
}

/** Makes and selects the context of the cluster; answers which one was selected before. */
function select(cluster: LocalCluster): string | null {
  const { current } = selection()
  saveContext({ name: cluster.name, endpoints: cluster.nodes.map(addressOfNode), clusterId: cluster.clusterId, group: cluster.group, playground: true }, { select: true })
  return current === cluster.name ? null : current
}
