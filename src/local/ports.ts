import { createServer, type Server } from 'node:net'
import { CliError } from '../terminal/errors.js'
import { allClusters } from './state-file.js'

const FIRST_PORT = 7001
const LAST_PORT = 65_535

/**
 * `count` ports in a row: from `base` when given (E_PORT when one is taken), else the next free block from 7001.
 * Call it under `withPortsLock` until they are written down.
 */
export async function choosePorts(options: { host: string; count: number; base: number | null }): Promise<number[]> {
  const { host, count, base } = options
  const owners = portOwners()
  if (base !== null) {
    const ports = block(base, count)
    for (const port of ports) {
      const owner = owners.get(port)
      if (owner)
        throw new CliError('E_PORT', `port ${port} belongs to the local cluster ${owner}`, {
          hint: 'Choose another --base-port, or leave it out.',
          details: { port, cluster: owner },
        })
      const problem = await whyNotFree(host, port)
      if (problem)
        throw new CliError('E_PORT', `port ${port} on ${host} cannot be used: ${problem}`, {
          hint: 'Choose another --base-port, or leave it out for the next free block.',
          details: { port },
        })
    }
    return ports
  }
  for (let first = FIRST_PORT; first + count - 1 <= LAST_PORT; first += count) {
    const ports = block(first, count)
    if (ports.some((port) => owners.has(port))) continue
    const problems = await Promise.all(ports.map((port) => whyNotFree(host, port)))
    if (problems.every((problem) => problem === null)) return ports
  }
  throw new CliError('E_PORT', `no ${count} free ports in a row from ${FIRST_PORT} up`)
}

/** The next `count` free ports above `after`, in a row or not. */
export async function nextPorts({ host, count, after }: { host: string; count: number; after: number }): Promise<number[]> {
  const owners = portOwners()
  const ports: number[] = []
  for (let port = after + 1; port <= LAST_PORT && ports.length < count; port++)
    if (!owners.has(port) && (await whyNotFree(host, port)) === null) ports.push(port)
  if (ports.length === count) return ports
  throw new CliError('E_PORT', `no ${count} free ports above ${after}`)
}

function block(first: number, count: number): number[] {
  const ports = Array.from({ length: count }, (_, i) => first + i)
  if (first < 1 || ports.at(-1)! > LAST_PORT)
    throw new CliError('E_USAGE', `ports ${first} to ${ports.at(-1)} do not exist`, { hint: `A port is 1 to ${LAST_PORT}.` })
  return ports
}

/** Ports of every local cluster, running or not: a stopped one wants them back. */
function portOwners(): Map<number, string> {
  return new Map(allClusters().clusters.flatMap(({ name, nodes }) => nodes.map((node) => [node.port, name] as const)))
}

/** Null when the port can be listened on. */
export function whyNotFree(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server: Server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'EADDRINUSE' ? 'it is in use' : error.code === 'EACCES' ? 'it needs privileges' : error.message),
    )
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)))
  })
}
