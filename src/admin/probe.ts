import { lookup } from 'node:dns/promises'
import { connect } from 'node:net'
import type { NodeFailure } from './node-report.js'

export interface ProbeTarget {
  readonly endpoint: string
  readonly tls: boolean
  readonly timeoutMs: number
}

const TCP_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network unreachable',
  ECONNRESET: 'connection reset',
  ETIMEDOUT: 'no answer',
  EACCES: 'not permitted',
}

/**
 * Finds out how far a request to a node can come, after one failed: name, TCP, then what speaks on the port.
 * `answer` is what the failed call reported; it stands when the port is open.
 */
export async function probe(target: ProbeTarget, answer: string): Promise<NodeFailure> {
  const { endpoint } = target
  const failure = (stage: NodeFailure['stage'], message: string): NodeFailure => ({ endpoint, code: 'E_UNREACHABLE', stage, message })
  const { host, port } = split(endpoint)
  try {
    await lookup(host)
  } catch (error) {
    return failure('dns', (error as NodeJS.ErrnoException).code === 'ENOTFOUND' ? `unknown host ${host}` : (error as Error).message)
  }
  const refused = await tcpProblem(host, port, target.timeoutMs)
  if (refused !== null) return failure('tcp', refused)
  if (target.tls && /tls|ssl|certificate|self.signed|wrong version|altname/i.test(answer))
    return { ...failure('tls', answer), code: 'E_TLS' }
  return failure('grpc', answer)
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
