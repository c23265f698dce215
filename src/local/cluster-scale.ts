import { existsSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ClusterClient } from '../admin/cluster-client.js'
import { survey } from '../admin/discovery.js'
import type { ChangeProgress } from '../admin/engines/engine.js'
import { changeMembership, type MembershipResult } from '../admin/membership-change.js'
import { executionParts } from '../admin/membership-parts.js'
import { type ChangeMembersAction, type MembershipPlan, planMembership } from '../admin/membership-plan.js'
import type { DraftedPlan } from '../admin/plan.js'
import { statusOf } from '../admin/status.js'
import { findContext } from '../terminal/context-files.js'
import { CliError } from '../terminal/errors.js'
import { shortPath } from '../terminal/paths.js'
import { stopNode } from './cluster-control.js'
import { saveContext } from './context-store.js'
import { addressOfNode } from './local-address.js'
import { connectionTo } from './local-connection.js'
import { spawnNode } from './node-spawn.js'
import { nextPorts } from './ports.js'
import { type LocalCluster, type LocalNode, readCluster, updateNodes, withClusterLock, withPortsLock, writeCluster } from './state-file.js'

export interface ScaleOptions {
  readonly nodes: number
  readonly reason: string | null
  readonly force: boolean
  /** Directories of removed nodes stay where they are; else they are moved aside. */
  readonly keepData: boolean
  readonly catchupTimeoutMs: number
  readonly graceMs: number
  readonly verify: boolean
  readonly signal: AbortSignal
}

/**
 * Makes a local cluster larger or smaller. New nodes get the next names and ports and are started here, then added; the
 * highest go first, and one that leads hands over before. Owns its client; dispose of it.
 *
 * A node that could not be added is stopped and taken away again, unless nobody knows whether it was added.
 */
export class ClusterScale implements Disposable {
  private readonly client: ClusterClient
  readonly parts: ReturnType<typeof executionParts>

  constructor(
    private readonly cluster: LocalCluster,
    private readonly options: ScaleOptions,
  ) {
    const context = findContext(cluster.name)
    const own = context?.clusterId === cluster.clusterId ? context : null
    this.client = new ClusterClient({ ...connectionTo(cluster, 5000), context: own, direct: false, connectTimeoutMs: 500 })
    this.parts = executionParts(this.client, options)
  }

  [Symbol.dispose](): void {
    this.client[Symbol.dispose]()
  }

  async draft(): Promise<DraftedPlan<ChangeMembersAction>> {
    const { cluster, client, options } = this
    const { status, error } = statusOf(await survey(client))
    if (error) throw error
    const voters = status.nodes.filter((row) => row.role === 'voter')
    const ours = cluster.nodes.filter((node) => voters.some((row) => row.address === addressOfNode(node)))
    const surplus = voters.length - options.nodes
    if (surplus > ours.length) throw new CliError('E_REMOTE', `only ${ours.length} of the ${voters.length} voters run on this machine`)
    const remove = surplus > 0 ? ours.slice(-surplus).map(addressOfNode) : []
    const add = surplus < 0 ? await newMembers(cluster, -surplus) : []
    const { reason, force, catchupTimeoutMs } = options
    return planMembership(client, { command: 'cluster scale', add, remove, reason, force, catchupTimeoutMs, starts: true })
  }

  /** Executes what `draft` planned. */
  async execute(plan: MembershipPlan, listener: (progress: ChangeProgress) => void): Promise<MembershipResult> {
    const { client, options } = this
    return withClusterLock(this.cluster.name, async () => {
      const grown = await this.start(plan)
      try {
        const result = await changeMembership(client, plan, { listener, verify: options.verify, signal: options.signal })
        await this.takeAway(plan.action.remove.map((member) => member.address))
        this.refreshContext()
        return result
      } catch (thrown) {
        const unknown = thrown instanceof CliError && thrown.code === 'E_OUTCOME_UNKNOWN'
        if (!unknown) for (const node of grown) await this.undo(node)
        throw thrown
      }
    })
  }

  whereDataIs({ action }: MembershipPlan): readonly string[] {
    const names = action.remove.map(({ id }) => id).join(' ')
    if (names === '') return []
    return [
      this.options.keepData
        ? `the data of ${names} stays in ${shortPath(this.cluster.dir)}`
        : `the data of ${names} was moved aside in ${shortPath(this.cluster.dir)}`,
    ]
  }

  private async start({ action }: MembershipPlan): Promise<readonly LocalNode[]> {
    const { name } = this.cluster
    const before = readCluster(name)
    const nodes = action.add.map((member) => localNode(before, member))
    const cluster = { ...before, nodes: [...before.nodes, ...nodes] }
    if (nodes.length === 0) return []
    await withPortsLock(async () => writeCluster(cluster))
    let current: LocalCluster = cluster
    for (const node of nodes) {
      const started = await spawnNode(current, node, { rebuild: false })
      current = updateNodes(current, (one) => (one.name === node.name ? started.node : one))
    }
    return current.nodes.filter((node) => nodes.some((one) => one.name === node.name))
  }

  /** It was never a member: nothing of it is worth keeping. */
  private async undo(node: LocalNode): Promise<void> {
    await stopNode(node, this.options.graceMs)
    rmSync(dirname(node.logFile), { recursive: true, force: true })
    this.forget(node)
  }

  private async takeAway(addresses: readonly string[]): Promise<void> {
    const gone = readCluster(this.cluster.name).nodes.filter((node) => addresses.includes(addressOfNode(node)))
    for (const node of gone) {
      await stopNode(node, this.options.graceMs)
      const directory = dirname(node.logFile)
      if (!this.options.keepData && existsSync(directory)) renameSync(directory, `${directory}.removed-${stamp(new Date())}`)
      this.forget(node)
    }
  }

  private forget(node: LocalNode): void {
    const cluster = readCluster(this.cluster.name)
    writeCluster({ ...cluster, nodes: cluster.nodes.filter((one) => one.name !== node.name) })
  }

  /** The context names the nodes that there are now. */
  private refreshContext(): void {
    const cluster = readCluster(this.cluster.name)
    const context = findContext(cluster.name)
    if (context?.clusterId === cluster.clusterId) saveContext({ ...context, endpoints: cluster.nodes.map(addressOfNode) })
  }
}

async function newMembers(cluster: LocalCluster, count: number) {
  const host = cluster.nodes[0]!.host
  const ports = await nextPorts({ host, count, after: Math.max(...cluster.nodes.map((node) => node.port)) })
  const highest = Math.max(0, ...cluster.nodes.map((node) => Number(/^n(\d+)$/.exec(node.name)?.[1] ?? 0)))
  return ports.map((port, at) => ({ id: `n${highest + at + 1}`, address: `${host}:${port}` }))
}

function localNode({ dir }: LocalCluster, { id, address }: { readonly id: string; readonly address: string }): LocalNode {
  const colon = address.lastIndexOf(':')
  const directory = join(dir, id)
  if (existsSync(directory))
    throw new CliError('E_DATA_DIR', `${directory} holds files of an earlier ${id}`, { hint: 'Move them away, then scale again.' })
  return {
    name: id,
    ...{ host: address.slice(0, colon), port: Number(address.slice(colon + 1)) },
    ...{ dataDir: join(directory, 'data'), logFile: join(directory, 'raft.log') },
    ...{ pid: null, processStart: null, startedAt: null, hasRun: false, argv: [], joined: true },
  }
}

/** `20261122-140211` */
function stamp(now: Date): string {
  return now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15)
}
