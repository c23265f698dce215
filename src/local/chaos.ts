import { FaultCalls, type ListedFault } from '../admin/chaos/fault-calls.js'
import { type FaultDraft, repeated, seeded } from '../admin/chaos/plan.js'
import { type ChaosOptions, ChaosRun, membersOf } from '../admin/chaos/run.js'
import { type Scenario, scheduleOf } from '../admin/chaos/scenario.js'
import { ClusterClient } from '../admin/cluster-client.js'
import { survey } from '../admin/discovery.js'
import { statusOf } from '../admin/status.js'
import type { Connection } from '../terminal/connection.js'
import { findContext } from '../terminal/context-files.js'
import { CliError } from '../terminal/errors.js'
import { listClusters } from './cluster-view.js'
import { connectionTo } from './local-connection.js'
import { LocalProcesses, processFaults } from './process-faults.js'
import { findCluster, type LocalCluster } from './state-file.js'

/** Breaks a cluster, here or elsewhere, and answers what became of it. */
export async function conductChaos(connection: Connection, options: ChaosOptions) {
  const cluster = localCluster(connection)
  using client = new ClusterClient(connection)
  using run = new ChaosRun(client, cluster === null ? null : new LocalProcesses(cluster.name), options)
  return await run.run()
}

/** One fault, as often as it comes. */
export function conductFault(
  connection: Connection,
  { draft, timing }: { readonly draft: FaultDraft; readonly timing: Parameters<typeof repeated>[1] },
  settings: Omit<ChaosOptions, 'faults' | 'scenario' | 'seed' | 'random'>,
) {
  return conductChaos(connection, { ...settings, faults: repeated(draft, timing), scenario: null, seed: null, random: Math.random })
}

/** A scenario; without a seed one is drawn. */
export function conductScenario(
  connection: Connection,
  { scenario, seed }: { readonly scenario: Scenario; readonly seed: number | null },
  settings: Omit<ChaosOptions, 'faults' | 'scenario' | 'seed' | 'random'>,
) {
  const chosen = seed ?? Math.floor(Math.random() * 1_000_000)
  const random = seeded(chosen)
  return conductChaos(connection, { ...settings, faults: scheduleOf(scenario, chosen), scenario: scenario.name, seed: chosen, random })
}

/** `data` of `chaos list --json`. */
export interface FaultList {
  readonly faults: readonly ListedFault[]
}

/** Everything that is broken now: what the nodes say of themselves, and their processes where they run here. */
export async function listFaults(connection: Connection): Promise<{ list: FaultList; clusterId: string | null; warnings: string[] }> {
  const { members, clusterId } = await membersAt(connection)
  using calls = new FaultCalls(connection)
  const { faults, silent } = await calls.list(members)
  const cluster = localCluster(connection)
  const ofProcesses = (cluster === null ? [] : processFaults(cluster)).map(({ id, kind, node, endsAt }) => ({
    node,
    id,
    kind,
    text: kind === 'kill' ? 'killed' : 'frozen',
    leftMs: Math.max(0, endsAt - Date.now()),
  }))
  const known = new Set(ofProcesses.map(({ node }) => node))
  const warnings = silent.filter(({ id }) => !known.has(id)).map(({ id }) => `${id} does not answer: what is broken there is not known`)
  return { list: { faults: [...ofProcesses, ...faults] }, clusterId, warnings }
}

/** One cluster of `chaos heal`. */
export interface Healing {
  readonly cluster: string
  /** What was broken. */
  readonly healed: readonly ListedFault[]
  /** Nodes that could not be asked: what is broken there heals by itself. */
  readonly unasked: readonly string[]
}

/** Heals everything at once, or everything of one member. Throws E_NO_SUCH_NODE. */
export async function healFaults(connection: Connection, node: string | null): Promise<{ healing: Healing; clusterId: string | null }> {
  const cluster = localCluster(connection)
  const records = cluster === null ? [] : processFaults(cluster)
  const { members, clusterId } = await membersAt(connection)
  const wanted = node === null ? members : members.filter(({ id, address }) => id === node || address === node)
  if (wanted.length === 0)
    throw new CliError('E_NO_SUCH_NODE', `no member is called ${JSON.stringify(node)}`, {
      hint: `members: ${members.map(({ id }) => id).join(', ')}`,
    })
  const { list } = await listFaults(connection)
  const names = new Set(wanted.map(({ id }) => id))
  const healed = list.faults.filter((fault) => names.has(fault.node))
  if (cluster !== null) {
    const processes = new LocalProcesses(cluster.name)
    for (const record of records) if (names.has(record.node)) await processes.heal(record.id)
  }
  using calls = new FaultCalls(connection)
  const broken = wanted.filter(({ id }) => list.faults.some((fault) => fault.node === id))
  const failed = await calls.healAll(broken.map(({ address }) => address))
  const unasked = broken
    .filter(({ address, id }) => failed.includes(address) && !records.some((record) => record.node === id))
    .map(({ id }) => id)
  return { healing: { cluster: connection.context?.name ?? connection.endpoints.join(','), healed, unasked }, clusterId }
}

/** The same for several clusters; one that does not run has nothing to heal but its processes. */
export async function healClusters(connections: readonly Connection[], node: string | null) {
  const clusters: Healing[] = []
  let clusterId: string | null = null
  for (const connection of connections) {
    const done = await healFaults(connection, node)
    clusters.push(done.healing)
    clusterId = connections.length === 1 ? done.clusterId : null
  }
  return { clusters, clusterId }
}

/** E_PARTIAL when somebody could not be asked; null otherwise. */
export function healError(clusters: readonly Healing[]): CliError | null {
  const unasked = clusters.flatMap(({ cluster, unasked: nodes }) => nodes.map((node) => `${node} of ${cluster}`))
  if (unasked.length === 0) return null
  return new CliError('E_PARTIAL', `${unasked.join(', ')} could not be asked`, {
    hint: 'What is broken there heals by itself:  raftctl chaos list',
  })
}

/** How to reach each local cluster of which a node runs. */
export async function localConnections(): Promise<Connection[]> {
  const { rows } = await listClusters()
  return rows
    .filter(({ state }) => state !== 'stopped')
    .map(({ cluster }) => ({ ...connectionTo(cluster, 2000), direct: false, context: findContext(cluster.name) }))
}

async function membersAt(connection: Connection) {
  using client = new ClusterClient(connection)
  const { status, clusterId, error } = statusOf(await survey(client))
  const members = membersOf(status)
  if (members.length === 0 && error) throw error
  return { members, clusterId }
}

function localCluster({ context }: Connection): LocalCluster | null {
  return context?.playground ? findCluster(context.name) : null
}
