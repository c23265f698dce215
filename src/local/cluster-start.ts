import { resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { ClusterClient } from '../admin/cluster-client.js'
import type { MachineKind } from '../machines/machine.js'
import type { PeerProtocol } from '../rpc/peer-channel.js'
import { CliError } from '../terminal/errors.js'
import { shortPath } from '../terminal/paths.js'
import { findContext, saveContext, selection } from './context-store.js'
import { Footprint } from './footprint.js'
import { addressOfNode } from './local-address.js'
import type { LocalLeader } from './local-connection.js'
import { forgetContext } from './local-context.js'
import { hasLostData, refuseLostData } from './lost-data.js'
import { createCluster, planCluster } from './new-cluster.js'
import { spawnNode } from './node-spawn.js'
import { whyNotFree } from './ports.js'
import { type ProcessState, processState } from './process-control.js'
import { findCluster, type LocalCluster, type LocalNode, updateNodes, withClusterLock } from './state-file.js'

export interface StartOptions {
  readonly name: string
  /** Null: as many as the existing cluster has, else 3. */
  readonly nodes: number | null
  readonly basePort: number | null
  /** Where the data goes; null: below the state file. */
  readonly dir: string | null
  /** Null: the one of the existing cluster, else the one of its machine. */
  readonly group: string | null
  /** Null: the one of the existing cluster, else the key-value store. */
  readonly machine: MachineKind | null
  readonly electionTimeoutMs: number | null
  /** Null: the one of the existing cluster, else `grpc`. */
  readonly transport: PeerProtocol | null
  /** Null: as an existing cluster is; a new one may be broken, it listens on this machine only. */
  readonly enableFaults: boolean | null
  readonly ephemeral: boolean
  /** Make and select a context of the same name. */
  readonly context: boolean
  readonly timeoutMs: number
  /** Told what to run, synchronously, when this process is interrupted before the start is over. */
  readonly onInterrupt: (cleanup: () => void) => void
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
  /** From the first process to a leader; null when the leader was there before. */
  readonly electedAfterMs: number | null
  /** The context made for it; null when none was wanted. */
  readonly context: string | null
  readonly previousContext: string | null
  readonly warnings: readonly string[]
  /** What decides the exit code; null when every node is up and one leads. */
  readonly error: CliError | null
}

/** How long a node that follows a leader already may take until it says so. */
const SETTLE_MS = 5000

/**
 * Starts a local cluster, or what is down of an existing one. A new cluster whose start fails or is interrupted is taken
 * away again, whole; an existing one keeps what came up.
 */
export async function startCluster(options: StartOptions): Promise<ClusterStart> {
  return withClusterLock(options.name, async () => {
    const existing = findExisting(options)
    if (existing) return new Startup(existing, options, null).run()
    const footprint = new Footprint()
    let over = false
    options.onInterrupt(() => over || footprint.takeAway())
    try {
      const started = await new Startup(await createCluster(options, footprint), options, footprint).run()
      if (started.error) throw started.error
      over = true
      return started
    } catch (error) {
      footprint.takeAway()
      forgetContext(options.name, footprint.clusterId)
      throw error
    }
  })
}

export interface StartPlan {
  readonly cluster: LocalCluster
  readonly created: boolean
  /** Names of the nodes that are up already. */
  readonly running: ReadonlySet<string>
}

/** What `cluster start` would do. Throws what would stand in its way. */
export async function planStart(options: StartOptions): Promise<StartPlan> {
  const existing = findExisting(options)
  if (!existing) return { cluster: await planCluster(options), created: true, running: new Set() }
  const states = await Promise.all(existing.nodes.map(processState))
  withFaults(existing, options, states)
  const up = existing.nodes.filter((_, i) => states[i] === 'running' || states[i] === 'paused')
  refuseLostData(
    existing,
    existing.nodes.filter((node) => !up.includes(node)),
  )
  return { cluster: existing, created: false, running: new Set(up.map((node) => node.name)) }
}

function findExisting(options: StartOptions): LocalCluster | null {
  const existing = findCluster(options.name)
  if (existing) refuseOtherSpec(existing, options)
  if (options.context) refuseForeignContext(options.name)
  return existing
}

function refuseOtherSpec(existing: LocalCluster, options: StartOptions): void {
  const { nodes, basePort, dir, electionTimeoutMs } = options
  const firstPort = existing.nodes[0]!.port
  const differences = [
    nodes !== null && nodes !== existing.nodes.length ? `it has ${existing.nodes.length} nodes, not ${nodes}` : null,
    basePort !== null && basePort !== firstPort ? `its first port is ${firstPort}, not ${basePort}` : null,
    dir !== null && resolve(dir) !== existing.dir ? `its data is in ${shortPath(existing.dir)}` : null,
    options.group !== null && options.group !== existing.group ? `its group is ${existing.group}, not ${options.group}` : null,
    options.machine !== null && options.machine !== machineOf(existing)
      ? `it runs the ${machineOf(existing)} machine, not ${options.machine}`
      : null,
    options.ephemeral && !existing.ephemeral ? 'it was made without --ephemeral' : null,
    electionTimeoutMs !== null && electionTimeoutMs !== existing.electionTimeoutMs
      ? `its election timeout is ${existing.electionTimeoutMs} ms, not ${electionTimeoutMs} ms`
      : null,
    options.transport !== null && options.transport !== (existing.transport ?? 'grpc')
      ? `its transport is ${existing.transport ?? 'grpc'}, not ${options.transport}`
      : null,
  ].filter((text) => text !== null)
  if (differences.length === 0) return
  throw new CliError('E_EXISTS', `cluster ${existing.name} exists and differs: ${differences.join('; ')}`, {
    hint: `Start it as it is: raftctl cluster start --name ${existing.name}\nOr another one: raftctl cluster start --name OTHER`,
    details: { cluster: existing.name, differences },
  })
}

function machineOf({ machine }: LocalCluster): MachineKind {
  return machine ?? 'kv'
}

/** The cluster with the hooks for faults as they are wanted. Throws E_EXISTS while nodes run that were started otherwise. */
function withFaults(existing: LocalCluster, { enableFaults }: StartOptions, states: readonly ProcessState[]): LocalCluster {
  if (enableFaults === null || enableFaults === existing.enableFaults) return existing
  const difference = `its nodes run with${existing.enableFaults ? '' : 'out'} --enable-faults`
  if (states.every((state) => state === 'stopped' || state === 'stale')) return { ...existing, enableFaults }
  throw new CliError('E_EXISTS', `cluster ${existing.name} exists and differs: ${difference}`, {
    hint: `Stop it first: raftctl cluster stop ${existing.name}`,
    details: { cluster: existing.name, differences: [difference] },
  })
}

/** The context of a cluster elsewhere is not overwritten because a local one has its name. */
function refuseForeignContext(name: string): void {
  const context = findContext(name)
  if (!context || context.playground) return
  throw new CliError('E_EXISTS', `the context ${name} exists and is not of a local cluster`, {
    hint: 'Choose another --name, or start without one: --no-context',
    details: { context: name },
  })
}

/** One start: which nodes it began, which of them failed, and who leads in the end. */
class Startup {
  private cluster: LocalCluster
  private readonly startedAt = performance.now()
  private readonly warnings: string[] = []
  private readonly begun = new Set<string>()
  private readonly failures = new Map<string, CliError>()

  constructor(
    cluster: LocalCluster,
    private readonly options: StartOptions,
    /** Null when the cluster existed before. */
    private readonly footprint: Footprint | null,
  ) {
    this.cluster = cluster
  }

  async run(): Promise<ClusterStart> {
    const { options } = this
    const states = await Promise.all(this.cluster.nodes.map(processState))
    this.cluster = withFaults(this.cluster, options, states)
    const { cluster } = this
    refuseLostData(
      cluster,
      cluster.nodes.filter((_, i) => states[i] === 'stopped' || states[i] === 'stale'),
    )
    if (cluster.nodes.length % 2 === 0 && this.footprint) this.warnings.push(evenAdvice(cluster.nodes.length))
    for (const [i, node] of cluster.nodes.entries()) await this.begin(node, states[i]!)
    const { awaitLeader, localClient } = await import('./local-connection.js')
    using client = localClient(this.cluster)
    const found = await awaitLeader(client, this.cluster, {
      nodes: cluster.nodes,
      timeoutMs: options.timeoutMs,
      stop: () => this.isHopeless(),
    })
    const elapsedMs = Math.round(performance.now() - this.startedAt)
    // A node that refuses to start says so after its peers answered: a leader alone does not mean that all are up.
    if (found && this.begun.size > 0) await this.settle(client)
    // A leader that has just lost its quorum does not know it yet.
    const leader = this.hasQuorum() ? found : null
    this.cluster = updateNodes(this.cluster, (node) => (this.failures.has(node.name) ? { ...node, pid: null, processStart: null } : node))
    const error = this.firstFailure() ?? (leader ? null : noLeader(this.cluster, options))
    const keepsContext = options.context && (error === null || this.footprint === null)
    const previousContext = keepsContext ? select(this.cluster) : null
    return {
      cluster: this.cluster,
      created: this.footprint !== null,
      nodes: this.cluster.nodes.map((node) => this.outcomeOf(node)),
      leader,
      electedAfterMs: leader && this.begun.size > 0 && (leader.forMs === null || leader.forMs <= elapsedMs) ? elapsedMs : null,
      context: keepsContext ? this.cluster.name : null,
      previousContext,
      warnings: [...this.warnings, ...this.otherFailures()],
      error,
    }
  }

  private async begin(node: LocalNode, state: ProcessState): Promise<void> {
    if (state === 'paused')
      this.warnings.push(`${node.name} is paused; let it go on: raftctl cluster resume ${node.name} --name ${this.cluster.name}`)
    if (state === 'running' || state === 'paused') return
    if (state === 'stale') this.warnings.push(`${node.name}: its process ${node.pid} is gone without having been stopped; started it again`)
    const problem = await whyNotFree(node.host, node.port)
    if (problem) {
      const hint = 'Stop the process that holds it, then start the cluster again.'
      this.failures.set(
        node.name,
        new CliError('E_PORT', `${node.name}: port ${node.port} on ${node.host} cannot be used: ${problem}`, {
          hint,
          details: { node: node.name, port: node.port },
        }),
      )
      return
    }
    try {
      const rebuild = hasLostData(node)
      if (rebuild) this.warnings.push(`${node.name} has no data any more: it counts only once it holds what the others send it`)
      const started = await spawnNode(this.cluster, node, { rebuild })
      this.footprint?.ownsProcess(started.node.pid!)
      this.begun.add(node.name)
      started.ended.then((error) => this.failures.set(node.name, error))
      this.cluster = updateNodes(this.cluster, (one) => (one.name === node.name ? started.node : one))
    } catch (error) {
      this.failures.set(
        node.name,
        error instanceof CliError ? error : new CliError('E_DATA_DIR', `${node.name}: ${(error as Error).message}`, { cause: error }),
      )
    }
  }

  /** A new cluster needs every node; an existing one goes on with a quorum. */
  private isHopeless(): boolean {
    return this.footprint ? this.failures.size > 0 : !this.hasQuorum()
  }

  private hasQuorum(): boolean {
    const count = this.cluster.nodes.length
    return count - this.failures.size >= Math.floor(count / 2) + 1
  }

  /** Waits until every node that was begun knows a leader or has failed. */
  private async settle(client: ClusterClient): Promise<void> {
    const deadline = performance.now() + SETTLE_MS
    while (performance.now() < deadline) {
      const waiting = this.cluster.nodes.filter((node) => this.begun.has(node.name) && !this.failures.has(node.name))
      const replies = await client.ask(waiting.map(addressOfNode))
      if (replies.every((reply) => 'report' in reply && reply.report.leaderId !== null)) return
      await pause(20)
    }
  }

  private outcomeOf(node: LocalNode): NodeStart {
    const error = this.failures.get(node.name) ?? null
    return { node, outcome: error ? 'failed' : this.begun.has(node.name) ? 'started' : 'running', error }
  }

  private failed(): CliError[] {
    return this.cluster.nodes.flatMap((node) => this.failures.get(node.name) ?? [])
  }

  private firstFailure(): CliError | null {
    return this.failed()[0] ?? null
  }

  /** The error says the first one only. */
  private otherFailures(): string[] {
    return this.failed()
      .slice(1)
      .map((error) => `${error.code}  ${error.message}`)
  }
}

function evenAdvice(count: number): string {
  const tolerated = Math.ceil(count / 2) - 1
  return `${count} nodes tolerate ${tolerated} ${tolerated === 1 ? 'failure' : 'failures'}, as ${count - 1} would; an odd number is better`
}

function noLeader(cluster: LocalCluster, options: StartOptions): CliError {
  return new CliError('E_NO_LEADER', `no leader within ${options.timeoutMs} ms`, {
    hint: `See what the nodes say: raftctl cluster logs --name ${cluster.name}`,
  })
}

/** Makes and selects the context of the cluster; answers which one was selected before. */
function select(cluster: LocalCluster): string | null {
  const { current } = selection()
  const { name, clusterId, group } = cluster
  saveContext({ name, endpoints: cluster.nodes.map(addressOfNode), clusterId, group, playground: true }, { select: true })
  return current === name ? null : current
}
