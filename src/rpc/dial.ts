import dns from 'node:dns'
import net from 'node:net'

/** Finds the addresses of a name, as `net.connect` asks for them. */
export type Lookup = net.LookupFunction

export interface Target {
  /** A name, IPv4, or IPv6 in brackets. */
  readonly host: string
  readonly port: number
  /** The system's when left out. */
  readonly lookup?: Lookup | undefined
}

/** As sockets and resolvers take a host: without brackets. */
export function bareHost(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1')
}

/**
 * Connects. A name is looked up now, whatever it was the last time, and all its addresses are tried in turn: a member that comes
 * back at another address under the same name is found by the next attempt.
 */
export function dial({ host, port, lookup }: Target): net.Socket {
  return net.connect({ host: bareHost(host), port, noDelay: true, keepAlive: true, ...(lookup ? { lookup } : {}) })
}

/** Why no connection came about, for people. */
export function dialProblem(error: NodeJS.ErrnoException, host: string): string {
  if (error.syscall === 'getaddrinfo' || error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN')
    return `the name ${host} does not resolve here (${error.code})`
  // Several addresses that failed have no message of their own.
  return error.message || (error instanceof AggregateError ? error.errors.map(({ message }) => message).join('; ') : String(error.code))
}

/** Nothing listens there: every address that was tried said so. */
export function isRefused(error: NodeJS.ErrnoException): boolean {
  if (error instanceof AggregateError) return error.errors.every((one: NodeJS.ErrnoException) => one.code === 'ECONNREFUSED')
  return error.code === 'ECONNREFUSED'
}

/** A name is asked for anew at most this often. */
const LOOK_AGAIN_MS = 200

/** Finds out whether a connection still goes where its name leads. */
export class NameCheck {
  private lookedAt = Number.NEGATIVE_INFINITY

  constructor(private readonly target: Target) {}

  /** Runs `moved` if the name leads elsewhere by now; a name that nobody can resolve proves nothing. */
  look(socket: net.Socket, moved: () => void): void {
    const { host, lookup = dns.lookup as Lookup } = this.target
    const { remoteAddress } = socket
    const now = performance.now()
    if (remoteAddress === undefined || net.isIP(bareHost(host)) !== 0 || now - this.lookedAt < LOOK_AGAIN_MS) return
    this.lookedAt = now
    lookup(bareHost(host), { all: true }, (error, found) => {
      const addresses = typeof found === 'string' ? [found] : (found ?? []).map(({ address }) => address)
      if (error === null && addresses.length > 0 && !addresses.includes(remoteAddress)) moved()
    })
  }
}
