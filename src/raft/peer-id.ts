import { canonicalHost, isIpv4 } from './host.js'

/** What a member does in its group, as braft writes it in the fourth part of a PeerId. */
export const PeerRole = { REPLICA: 0, WITNESS: 1 } as const
export type PeerRole = (typeof PeerRole)[keyof typeof PeerRole]

/**
 * The protocol's identity of a member: `host:port:idx:role`, always printed with four parts.
 * Host is IPv4, a DNS name or `[v6]`; `parse` writes each in one way only. Two ids are equal when host, port and idx are; the
 * role is ignored, as in braft.
 */
export class PeerId {
  /** braft's ANY_PEER, "nobody": also how an empty vote is written. */
  static readonly EMPTY = new PeerId('0.0.0.0', 0, 0, PeerRole.REPLICA)

  /** Identity without the role: use it as a map key. */
  readonly key: string

  constructor(
    readonly host: string,
    readonly port: number,
    /** Tells members at one address apart; 0 unless said otherwise. */
    readonly idx = 0,
    readonly role: PeerRole = PeerRole.REPLICA,
  ) {
    this.key = `${host}:${port}:${idx}`
  }

  /** Where to dial: `host:port`. */
  get address(): string {
    return `${this.host}:${this.port}`
  }

  /** Nobody: a vote that was not given, a leader that is unknown. */
  get isEmpty(): boolean {
    return this.port === 0 && this.host === '0.0.0.0' && this.idx === 0
  }

  /** braft members can only be dialled by IPv4. */
  get isIpv4(): boolean {
    return isIpv4(this.host)
  }

  /** It votes and acknowledges entries, and is sent them without their data. */
  get isWitness(): boolean {
    return this.role === PeerRole.WITNESS
  }

  /** The same host, port and index; the role does not count. */
  equals(other: PeerId): boolean {
    return this.key === other.key
  }

  /** Always in four parts: `host:port:idx:role`. */
  toString(): string {
    return `${this.key}:${this.role}`
  }

  /** Reads `host:port[:idx[:role]]`; null when it is not one. Stricter than braft: nothing may follow, ports are checked. */
  static parse(text: string): PeerId | null {
    const end = text.startsWith('[') ? text.indexOf(']') + 1 : text.indexOf(':')
    if (end <= 0 || text[end] !== ':') return null
    const host = canonicalHost(text.slice(0, end))
    if (host === null) return null
    const rest = text.slice(end + 1)
    const parts = rest.split(':')
    if (parts.length > 3 || !parts.every((p, i) => /^\d{1,10}$/.test(p) || (i > 0 && p === ''))) return null
    const [port = 0, idx = 0, role = 0] = parts.map(Number)
    if (port > 65535 || idx > 0x7fffffff || role > PeerRole.WITNESS) return null
    if (port === 0 && host !== '0.0.0.0') return null
    return new PeerId(host, port, idx, role as PeerRole)
  }

  /** braft's order of a configuration: IPv4 as an integer, then port, then idx; other hosts after, by name. */
  static compare(a: PeerId, b: PeerId): number {
    const byHost =
      a.isIpv4 && b.isIpv4
        ? ipv4Number(a.host) - ipv4Number(b.host)
        : a.isIpv4 !== b.isIpv4
          ? a.isIpv4
            ? -1
            : 1
          : a.host < b.host
            ? -1
            : a.host > b.host
              ? 1
              : 0
    return byHost || a.port - b.port || a.idx - b.idx
  }
}

function ipv4Number(host: string): number {
  return host.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}
