import type { Connection } from '../terminal/connection.js'
import { type ContextEngine, contextFile } from '../terminal/context-files.js'
import { CliError } from '../terminal/errors.js'
import { contextExists, type NewContext, saveContext, selection } from './context-store.js'

export interface AddOptions {
  /** Ask the cluster for its id, and refuse any other from then on. */
  readonly pin: boolean
  readonly select: boolean
  /** One of the same name may be there. */
  readonly replace: boolean
}

/** `data` of `context add --json`. */
export interface AddedContext {
  readonly name: string
  readonly endpoints: readonly string[]
  readonly group: string
  readonly clusterId: string | null
  /** What its nodes are; null: nobody asked. */
  readonly engine: ContextEngine | null
  readonly env: string | null
  readonly readOnly: boolean
  readonly tls: boolean
  readonly selected: boolean
  readonly replaced: boolean
  readonly file: string
}

/**
 * Saves a context. Unless told otherwise it is pinned: the cluster that answers is the one that every later command expects.
 * Throws E_EXISTS, E_UNREACHABLE when nothing answers, E_CLUSTER_MISMATCH when the endpoints are of several clusters.
 */
export async function addContext(
  input: NewContext,
  connection: Connection,
  options: AddOptions,
): Promise<{ readonly added: AddedContext; readonly warnings: readonly string[] }> {
  const file = contextFile(input.name)
  const replaced = contextExists(input.name)
  if (replaced && !options.replace)
    throw new CliError('E_EXISTS', `a context named ${input.name} exists already`, {
      hint: `Choose another name, or add --replace. What it is now: raftctl context show ${input.name}`,
      details: { context: input.name },
    })
  const asked = options.pin ? await look(connection) : NOT_ASKED
  const select = options.select || selection().current === null
  const { clusterId, warnings } = asked
  const engine = asked.engine ?? (connection.engine === 'auto' ? null : connection.engine)
  const saved = saveContext({ ...input, clusterId, engine, group: asked.group ?? connection.group }, { select })
  const { name, endpoints, group, env, readOnly, tls = false } = saved
  return { added: { name, endpoints, group, clusterId, engine, env, readOnly, tls, selected: select, replaced, file }, warnings }
}

interface Seen {
  readonly clusterId: string | null
  readonly engine: ContextEngine | null
  readonly group: string | null
  readonly warnings: readonly string[]
}

const NOT_ASKED: Seen = { clusterId: null, engine: null, group: null, warnings: [] }

async function look(connection: Connection): Promise<Seen> {
  const { ClusterClient } = await import('../admin/cluster-client.js')
  const { survey } = await import('../admin/discovery.js')
  const { statusOf } = await import('../admin/status.js')
  using client = new ClusterClient(connection)
  const found = await survey(client)
  const { clusterId, error, warnings } = statusOf(found)
  if (found.reports.size === 0 && error) {
    const hint = 'Check the endpoints. To add it without asking the cluster for its id: --no-pin-cluster-id'
    throw new CliError(error.code, error.message, { hint, details: error.details })
  }
  const kinds = new Set([...found.reports.values()].map(({ kind }) => kind))
  const engine: ContextEngine = kinds.size > 1 ? 'mixed' : kinds.has('braft') ? 'braft' : 'raftctl'
  const seen = { clusterId, engine, group: client.group }
  if (clusterId !== null) return { ...seen, warnings }
  const why = engine === 'braft' ? 'braft clusters have no id' : 'the cluster has no id yet'
  return { ...seen, warnings: [...warnings, `${why}, so the context is not pinned to it`] }
}
