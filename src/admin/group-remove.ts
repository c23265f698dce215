import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import type { ControlCalls } from './engines/control-calls.js'
import type { NodeError } from './group-create.js'
import { type Copy, type GroupSurvey, isFounder, mayCount, membersKnown, surveyGroups } from './groups.js'

export interface RemoveRequest {
  readonly group: string
  /** What lies on this node only: name or address; null: everywhere. */
  readonly node: string | null
  /** Also when a node does not answer, or is still a member. */
  readonly force: boolean
}

/** What a removal takes away. */
export interface RemovePlan {
  readonly group: string
  readonly copies: readonly { readonly node: string; readonly address: string; readonly uid: string; readonly bytes: number | null }[]
  /** Nobody has founded it: there is nothing to lose. */
  readonly empty: boolean
  /** Committed entries, as far as anybody knows. */
  readonly entries: number
  /** Nodes that do not answer and may hold it. */
  readonly silent: readonly string[]
  readonly clusterId: string | null
}

/** `data` of `group remove --json`. */
export interface RemoveOutcome {
  readonly group: string
  readonly executed: boolean
  readonly entries: number
  readonly silent: readonly string[]
  readonly nodes: readonly {
    readonly node: string
    readonly address: string
    readonly bytes: number | null
    readonly removed: boolean
    readonly error: NodeError | null
  }[]
}

/**
 * Finds out what there is to remove. Throws E_NO_GROUP when nothing is, E_UNREACHABLE while a node does not answer that may hold it,
 * E_STILL_MEMBER when the copy of one member alone is meant.
 */
export async function planRemove(client: ClusterClient, calls: ControlCalls, request: RemoveRequest): Promise<RemovePlan> {
  const { group, node, force } = request
  const found = await surveyGroups(client, calls, { foundersOf: group })
  const all = found.copies.filter((copy) => copy.group === group)
  if (all.some(({ uid, problem }) => uid === '' && problem === ''))
    throw new CliError('E_UNSUPPORTED', `${group} is the group that the nodes were started with`, {
      hint: 'It goes with its nodes: stop them and put their directories aside.',
    })
  const chosen = node === null ? all : all.filter((copy) => copy.node === node || copy.address === node)
  const silent = found.nodes.filter(({ id, address, error }) => error !== null && (node === null || node === id || node === address))
  if (chosen.length === 0 && silent.length === 0) throw nowhere(request, found)
  if (silent.length > 0 && (!force || chosen.length === 0)) {
    const why = silent.map(({ id, error }) => `${id}: ${error!.message}`).join('; ')
    throw new CliError('E_UNREACHABLE', `${why}; it would keep what it holds of ${group}, and nothing was removed`, {
      hint: 'Start it first. --force removes the group elsewhere; the same command finishes it once that node is back.',
    })
  }
  if (node !== null && !force) refuseMember(request, all, chosen, found)
  const copies = await Promise.all(
    chosen.map(async (copy) => ({ node: copy.node, address: copy.address, uid: copy.uid, bytes: await bytesOf(client, copy) })),
  )
  return {
    ...{ group, copies, clusterId: found.clusterId, silent: silent.map(({ id }) => id) },
    empty: !chosen.some(isFounder),
    entries: Math.max(0, ...chosen.map(({ commit }) => commit)),
  }
}

export async function executeRemove(calls: ControlCalls, plan: RemovePlan): Promise<RemoveOutcome> {
  const { group, entries, silent } = plan
  const nodes = await Promise.all(
    plan.copies.map(async ({ uid, ...copy }) => {
      try {
        const check = 'raftctl group list'
        const { removed } = await calls.write(copy.address, (call, options) => call.call('RemoveGroup', { group, uid }, options), { check })
        return { ...copy, removed: removed === true, error: null }
      } catch (thrown) {
        if (!(thrown instanceof CliError)) throw thrown
        return { ...copy, removed: false, error: { code: thrown.code, message: thrown.message } }
      }
    }),
  )
  return { group, executed: true, entries, silent, nodes }
}

/** What is said of an outcome of which a part is missing; null when nothing is. */
export function halfRemoved({ group, nodes, silent }: RemoveOutcome): CliError | null {
  const failed = nodes.filter(({ error }) => error !== null)
  const left = [...failed.map(({ node, error }) => `${node}: ${error!.message}`), ...silent.map((node) => `${node} did not answer`)]
  if (left.length === 0) return null
  const hint = `Finish it by the same command once they answer:  raftctl group remove ${group}`
  return new CliError('E_PARTIAL', `${group} may be left on ${left.join('; ')}`, { hint })
}

function nowhere({ group, node }: RemoveRequest, { copies, nodes }: GroupSurvey): CliError {
  const names = [...new Set(copies.map((copy) => copy.group))].sort()
  if (node !== null && !nodes.some(({ id, address }) => id === node || address === node))
    return new CliError('E_NO_SUCH_NODE', `no member is called ${JSON.stringify(node)}`, {
      hint: `Members: ${nodes.map(({ id }) => id).join(', ')}`,
    })
  const where = node === null ? 'any node' : node
  return new CliError('E_NO_GROUP', `no group ${group} on ${where}`, {
    hint: `Groups: ${names.slice(0, 10).join(', ')}${names.length > 10 ? ` and ${names.length - 10} more` : ''}`,
  })
}

/** Its copy may be one of those that a quorum needs. */
function refuseMember({ group }: RemoveRequest, all: readonly Copy[], chosen: readonly Copy[], { nameOf }: GroupSurvey): void {
  for (const copy of chosen) {
    const life = all.filter(({ uid }) => uid === copy.uid)
    const leads = life.find(({ state }) => state === 'LEADER')
    if (!life.some(isFounder) || copy.problem.startsWith('this node was removed')) continue
    if (leads && !mayCount(copy, membersKnown(life))) continue
    // An earlier life of a group that goes on without it.
    if (!leads && all.some(({ uid, state }) => uid !== copy.uid && state === 'LEADER')) continue
    throw new CliError('E_STILL_MEMBER', `${nameOf(copy.address)} is a member of group ${group}, as far as anybody knows`, {
      hint: `Remove it first:  raftctl member remove ${copy.node} -g ${group}`,
    })
  }
}

async function bytesOf(client: ClusterClient, { address, group, problem }: Copy): Promise<number | null> {
  if (problem !== '') return null
  try {
    return (await client.engine.nodeStatus({ endpoint: address, group })).dataBytes
  } catch (thrown) {
    if (thrown instanceof CliError) return null
    throw thrown
  }
}
