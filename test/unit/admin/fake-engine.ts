import { ClusterClient } from '../../../src/admin/cluster-client.js'
import type { ClusterEngine } from '../../../src/admin/engines/engine.js'
import type { NodeReply } from '../../../src/admin/node-report.js'
import type { Connection } from '../../../src/terminal/connection.js'
import { CliError } from '../../../src/terminal/errors.js'
import { address } from './replies.js'

export const connection: Connection = {
  context: null,
  endpoints: [address(2)],
  group: 'kv',
  anyGroup: false,
  engine: 'auto',
  timeoutMs: 1000,
  connectTimeoutMs: 1000,
  direct: false,
  clusterId: null,
  tls: null,
  tokenFile: null,
}

/** An engine that does what `methods` says and offers nothing else. */
export function fakeEngine(methods: Partial<ClusterEngine>): ClusterEngine {
  const refuse = async () => {
    throw new CliError('E_UNSUPPORTED', 'this fake does not do that')
  }
  const known: Partial<ClusterEngine> = { [Symbol.dispose]: () => {}, ...methods }
  return new Proxy(known, { get: (target, key) => Reflect.get(target, key) ?? refuse }) as ClusterEngine
}

/** A client of an engine that answers from `repliesAt`, and counts who was asked. */
export function fakeClient(
  repliesAt: (round: number) => readonly NodeReply[],
  { connection: changes = {}, engine = {} }: { readonly connection?: Partial<Connection>; readonly engine?: Partial<ClusterEngine> } = {},
) {
  const asked: string[] = []
  const answering = fakeEngine({
    async nodeStatus({ endpoint }) {
      const round = asked.filter((one) => one === endpoint).length
      asked.push(endpoint)
      const reply = repliesAt(round).find((one) => one.endpoint === endpoint)
      if (reply && 'report' in reply) return reply.report
      throw new CliError('E_UNREACHABLE', 'refused', { details: { stage: 'tcp', reason: 'connection refused' } })
    },
    ...engine,
  })
  return { client: new ClusterClient({ ...connection, ...changes }, answering), asked }
}
