import type { PeerId } from '../raft/peer-id.js'

/** What `chaos` and the tests may do to the links of a node started with --enable-faults. */
export interface FaultSettings {
  /** By address of a peer: where to connect instead. */
  readonly dialMap: ReadonlyMap<string, string>
  /** By address of a peer: every request to it waits this long first. */
  readonly delayMs: ReadonlyMap<string, number>
  /** Addresses of peers that neither reach this node nor are reached. */
  readonly partition: ReadonlySet<string>
}

const NO_FAULTS: FaultSettings = { dialMap: new Map(), delayMs: new Map(), partition: new Set() }

/** A change of FaultSettings: what it does not name stays as it is; an empty or zero value clears. */
export interface FaultChange {
  readonly dialMap?: Readonly<Record<string, string>>
  readonly delayMs?: Readonly<Record<string, number>>
  readonly partition?: readonly string[]
  /** Clears everything first. */
  readonly heal?: boolean
  /** Heals by itself after this time; 0 never. */
  readonly ttlMs?: number
}

/**
 * The faults of a process. Transport and peer service ask it about every call; the control service changes it.
 * Peers are named by PeerId (with or without index and role) or address.
 */
export class Faults {
  private current = NO_FAULTS
  private healing: NodeJS.Timeout | null = null
  private readonly listeners: ((addresses: ReadonlySet<string>) => void)[] = []

  /** `enabled` is --enable-faults: without it nothing can ever be set. */
  constructor(readonly enabled: boolean) {}

  get settings(): FaultSettings {
    return this.current
  }

  /** Told which peers a change concerns: their connections must be made anew. */
  onChange(listener: (addresses: ReadonlySet<string>) => void): void {
    this.listeners.push(listener)
  }

  set(change: FaultChange): void {
    if (!this.enabled) return
    const before = this.current
    const base = change.heal ? NO_FAULTS : before
    this.current = {
      dialMap: merged(base.dialMap, change.dialMap ?? {}, ''),
      delayMs: merged(base.delayMs, change.delayMs ?? {}, 0),
      partition: change.partition?.length ? new Set(change.partition.map(addressOf)) : base.partition,
    }
    if (this.healing) clearTimeout(this.healing)
    this.healing = change.ttlMs ? setTimeout(() => this.set({ heal: true }), change.ttlMs).unref() : null
    const concerned = concernedBy(before, this.current)
    for (const listener of this.listeners) listener(concerned)
  }

  /** Where to connect to reach `peer`. */
  dialTarget(peer: PeerId): { host: string; port: number } {
    const instead = this.current.dialMap.get(peer.address)
    const colon = instead?.lastIndexOf(':') ?? -1
    return instead ? { host: instead.slice(0, colon), port: Number(instead.slice(colon + 1)) } : peer
  }

  delayTo(peer: PeerId): number {
    return this.current.delayMs.get(peer.address) ?? 0
  }

  isCut(peer: PeerId): boolean {
    return this.current.partition.has(peer.address)
  }
}

/** `host:port` of a PeerId or an address. */
function addressOf(text: string): string {
  const match = /^(\[[^\]]*\]|[^:]*):(\d+)/.exec(text)
  return match ? `${match[1]}:${match[2]}` : text
}

function merged<V>(base: ReadonlyMap<string, V>, change: Readonly<Record<string, V>>, clear: V): ReadonlyMap<string, V> {
  const result = new Map(base)
  for (const [peer, value] of Object.entries(change)) {
    if (value === clear) result.delete(addressOf(peer))
    else result.set(addressOf(peer), value)
  }
  return result
}

function concernedBy(before: FaultSettings, after: FaultSettings): Set<string> {
  const concerned = new Set<string>()
  for (const address of [...before.dialMap.keys(), ...after.dialMap.keys()]) {
    if (before.dialMap.get(address) !== after.dialMap.get(address)) concerned.add(address)
  }
  for (const address of after.partition) if (!before.partition.has(address)) concerned.add(address)
  return concerned
}
