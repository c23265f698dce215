import type { Connection } from '../terminal/connection.js'
import { CliError, type ErrorCode, isErrorCode } from '../terminal/errors.js'
import { ClusterClient } from './cluster-client.js'
import { assemble, membersOf } from './discovery.js'
import { nameOf } from './leader-claims.js'
import { addressOf, type NodeFailure, type NodeKind, type NodeReply, type Stage } from './node-report.js'
import { type Reach, reach } from './probe.js'
import { statusOf } from './status.js'

/** What became of one stage; `skipped`: an earlier one failed, or it does not apply. */
export type Outcome = 'ok' | 'failed' | 'skipped'

/** How far a request to one node comes. */
export interface NodeTest {
  /** Its name where the cluster gave it one, else its address. */
  readonly id: string
  readonly endpoint: string
  /** Named in the context; false: a member that the others told of. */
  readonly configured: boolean
  /** Null when it did not answer. */
  readonly kind: NodeKind | null
  readonly stages: { readonly [S in Stage]: Outcome }
  readonly dnsMs: number | null
  readonly tcpMs: number | null
  readonly grpcMs: number | null
  readonly error: { readonly code: string; readonly stage: Stage | null; readonly message: string } | null
}

/** One element of `data` of `context test --json`. */
export interface ConnectionTest {
  readonly context: string
  readonly ok: boolean
  readonly clusterId: string | null
  readonly pinned: boolean
  readonly leader: string | null
  readonly term: number | null
  readonly nodes: readonly NodeTest[]
  /** What keeps commands from working; null when nothing does. */
  readonly error: { readonly code: string; readonly message: string } | null
}

interface Tested {
  readonly reach: Reach
  readonly reply: NodeReply
  readonly grpcMs: number | null
}

/** Goes to every endpoint and to every member that they tell of, stage by stage, all at once. Never throws what a node causes. */
export async function testConnection(name: string, connection: Connection): Promise<ConnectionTest> {
  // Whatever a context expects its nodes to be: gRPC is tried first, so that it is tested on both kinds.
  using client = new ClusterClient({ ...connection, context: connection.context && { ...connection.context, engine: null } })
  const tested = new Map<string, Tested>()
  let wave = [...new Set(connection.endpoints)]
  while (wave.length > 0) {
    const results = await Promise.all(wave.map((endpoint) => testEndpoint(client, endpoint)))
    for (const [at, endpoint] of wave.entries()) tested.set(endpoint, results[at]!)
    const members = results.flatMap(({ reply }) => ('report' in reply ? membersOf(reply.report.membership) : []))
    wave = [...new Set(members.map((member) => addressOf(member.peerId)))].filter((address) => !tested.has(address))
  }
  return judge(name, client, tested)
}

async function testEndpoint(client: ClusterClient, endpoint: string): Promise<Tested> {
  const reached = await reach({ endpoint, timeoutMs: client.connection.connectTimeoutMs })
  if (reached.failure) return { reach: reached, reply: { endpoint, failure: reached.failure }, grpcMs: null }
  const startedAt = performance.now()
  const [reply] = await client.ask([endpoint])
  return { reach: reached, reply: reply!, grpcMs: 'report' in reply! ? performance.now() - startedAt : null }
}

function judge(name: string, client: ClusterClient, tested: ReadonlyMap<string, Tested>): ConnectionTest {
  const { connection } = client
  const replies = [...tested.values()].map(({ reply }) => reply)
  const pinned = connection.clusterId !== null
  const base = { context: name, pinned, leader: null, term: null }
  try {
    const found = assemble(replies, { group: client.group, direct: false })
    const { status, clusterId, error } = statusOf(found)
    const label = ({ reply }: Tested) => ('report' in reply ? nameOf(found, reply.report.peerId) : memberAt(status.nodes, reply.endpoint))
    const nodes = [...tested].map(([endpoint, one]) => nodeTest(connection, endpoint, one, label(one)))
    const problem = error ? { code: error.code, message: error.message } : null
    const ok = problem === null && nodes.every((node) => node.error === null)
    return { ...base, ok, clusterId, leader: status.leader, term: status.term, nodes, error: problem }
  } catch (thrown) {
    if (!(thrown instanceof CliError)) throw thrown
    const nodes = [...tested].map(([endpoint, one]) => nodeTest(connection, endpoint, one, endpoint))
    return { ...base, ok: false, clusterId: connection.clusterId, nodes, error: { code: thrown.code, message: thrown.message } }
  }
}

function memberAt(rows: readonly { readonly id: string; readonly address: string }[], endpoint: string): string {
  return rows.find((row) => row.address === endpoint)?.id ?? endpoint
}

function nodeTest(connection: Connection, endpoint: string, { reach: reached, reply, grpcMs }: Tested, id: string): NodeTest {
  const failure = 'failure' in reply ? reply.failure : null
  const kind = 'report' in reply ? reply.report.kind : null
  const { dnsMs, tcpMs } = reached
  return {
    ...{ id, endpoint, configured: connection.endpoints.includes(endpoint) },
    kind,
    stages: stagesOf(failure, kind, connection.tls !== null),
    ...{ dnsMs: rounded(dnsMs), tcpMs: rounded(tcpMs), grpcMs: rounded(grpcMs) },
    error: failure && { code: failure.code, stage: failure.stage, message: failure.message },
  }
}

/** A refusal without a stage (another cluster, no access) came from the node itself. */
function stagesOf(failure: NodeFailure | null, kind: NodeKind | null, tls: boolean): NodeTest['stages'] {
  const order: readonly Stage[] = ['dns', 'tcp', 'tls', 'grpc', 'http']
  const failedAt = failure && (failure.stage ?? 'grpc')
  const stop = failedAt ? order.indexOf(failedAt) : order.length
  const outcome = (at: number): Outcome => (at < stop ? 'ok' : at === stop ? 'failed' : 'skipped')
  const http = kind === 'braft' || failedAt === 'http' ? outcome(4) : 'skipped'
  return { dns: outcome(0), tcp: outcome(1), tls: tls ? outcome(2) : 'skipped', grpc: outcome(3), http }
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 10) / 10
}

/**
 * How `context test` ends: null when everything is well; 3 when the question was answered and something is not; an error when
 * nothing could be asked, for one reason: nobody answers (5), another cluster does (8), credentials (9).
 */
export function verdictOf(tests: readonly ConnectionTest[]): { readonly exitCode: 0 | 3; readonly error: CliError | null } {
  if (tests.every((test) => test.ok)) return { exitCode: 0, error: null }
  const decisive = tests.map((test) => (test.error !== null && DECISIVE.has(test.error.code) ? test.error : null))
  const [first] = decisive
  if (!first || !decisive.every((error) => error?.code === first.code)) return { exitCode: 3, error: null }
  const code: ErrorCode = isErrorCode(first.code) ? first.code : 'E_UNREACHABLE'
  const message = tests.length === 1 ? first.message : tests.map((test, at) => `${test.context}: ${decisive[at]!.message}`).join('; ')
  return { exitCode: 0, error: new CliError(code, message) }
}

const DECISIVE: ReadonlySet<string> = new Set(['E_UNREACHABLE', 'E_CLUSTER_MISMATCH', 'E_AUTH', 'E_TLS'])
