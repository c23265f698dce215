import { lookup } from 'node:dns/promises'
import { connect } from 'node:net'
import type { NodeFailure } from './node-report.js'

export interface ProbeTarget {
  readonly endpoint: string
  readonly tls: boolean
  readonly timeoutMs: number
}

/** What a call reports when something listens, but no gRPC connection came about. */
export const NO_GRPC = 'the port is open but does not speak gRPC'

const TCP_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network unreachable',
  ECONNRESET: 'connection reset',
  ETIMEDOUT: 'no answer',
  EACCES: 'not permitted',
}

/** How far a plain connection comes; `failure` is null when something accepted it. */
export interface Reach {
  readonly dnsMs: number | null
  readonly tcpMs: number | null
  readonly failure: NodeFailure | null
}

/** The two stages below gRPC: the name, then a connection. */
export async function reach({ endpoint, timeoutMs }: Pick<ProbeTarget, 'endpoint' | 'timeoutMs'>): Promise<Reach> {
  const failure = (stage: NodeFailure['stage'], message: string): NodeFailure => ({ endpoint, code: 'E_UNREACHABLE', stage, message })
  const { host, port } = split(endpoint)
  const startedAt = performance.now()
  try {
    await lookup(host)
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOTFOUND' ? `unknown host ${host}` : (error as Error).message
    return { dnsMs: null, tcpMs: null, failure: failure('dns', reason) }
  }
  const resolvedAt = performance.now()
  const dnsMs = resolvedAt - startedAt
  const refused = await tcpProblem(host, port, timeoutMs)
  if (refused !== null) return { dnsMs, tcpMs: null, failure: failure('tcp', refused) }
  return { dnsMs, tcpMs: performance.now() - resolvedAt, failure: null }
}

/**
 * Finds out how far a request to a node can come, after one failed: name, TCP, then what speaks on the port.
 * `answer` is what the failed call reported; it stands when the port is open.
 */
export async function probe(target: ProbeTarget, answer: string): Promise<NodeFailure> {
  const { endpoint } = target
  const { failure } = await reach(target)
  if (failure) return failure
  if (target.tls && answer === NO_GRPC) return { endpoint, code: 'E_TLS', stage: 'tls', message: 'the port is open but does not speak TLS' }
  if (target.tls && /tls|ssl|certificate|self.signed|wrong version|altname/i.test(answer))
    return { endpoint, code: 'E_TLS', stage: 'tls', message: answer }
  return { endpoint, code: 'E_UNREACHABLE', stage: 'grpc', message: answer }
}

function tcpProblem(host: string, port: number, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const end = (problem: string | null) => {
      socket.destroy()
      resolve(problem)
    }
    socket.setTimeout(timeoutMs, () => end(`no answer within ${timeoutMs} ms`))
    socket.once('connect', () => end(null))
    socket.once('error', (error: NodeJS.ErrnoException) => end(TCP_REASONS[error.code ?? ''] ?? error.message))
  })
}

function split(endpoint: string): { readonly host: string; readonly port: number } {
  const colon = endpoint.lastIndexOf(':')
  return { host: endpoint.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(endpoint.slice(colon + 1)) }
}
