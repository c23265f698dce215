import type { PeerId } from '../raft/peer-id.js'
import {
  type DiskFault,
  diskFault,
  type FaultEffect,
  type FaultRecord,
  isLinkEffect,
  type LinkEffect,
  LONGEST_FAULT_MS,
} from './fault-effects.js'

/** What tests set by hand on the links of a node started with --enable-faults. */
export interface FaultSettings {
  /** By address of a peer: where to connect instead. */
  readonly dialMap: ReadonlyMap<string, string>
  /** By address of a peer: whatever is sent to it waits this long first. */
  readonly delayMs: ReadonlyMap<string, number>
  /** Addresses of peers that neither reach this node nor are reached. */
  readonly partition: ReadonlySet<string>
}

const NO_SETTINGS: FaultSettings = { dialMap: new Map(), delayMs: new Map(), partition: new Set() }

/** A change of FaultSettings: what it does not name stays as it is; an empty or zero value clears. */
export interface FaultChange {
  readonly dialMap?: Readonly<Record<string, string>>
  readonly delayMs?: Readonly<Record<string, number>>
  readonly partition?: readonly string[]
  /** Clears everything first, the faults that were added too. */
  readonly heal?: boolean
  /** The settings clear by themselves after this time; 0 never. */
  readonly ttlMs?: number
}

interface Active {
  readonly id: string
  readonly effect: FaultEffect
  /** On the clock of the process, which no fault bends. */
  readonly endsAt: number
}

/**
 * The faults of a process. Transport, peer service, file system and clock ask it about everything they do; the control
 * service changes it. Peers are named by PeerId (with or without index and role) or address.
 *
 * Invariant: what was added ends by itself, whoever added it and whatever became of them.
 */
export class Faults {
  private settled = NO_SETTINGS
  private active: readonly Active[] = []
  private links: readonly LinkEffect[] = []
  /** What the disk suffers from; null while it is sound. */
  disk: DiskFault | null = null
  private healing: NodeJS.Timeout | null = null
  private expiry: NodeJS.Timeout | null = null
  private readonly listeners: ((addresses: ReadonlySet<string>) => void)[] = []

  /** `enabled` is --enable-faults: without it nothing can ever be set. `random` answers in [0, 1). */
  constructor(
    readonly enabled: boolean,
    private readonly random: () => number = Math.random,
  ) {}

  /** What is broken on purpose now. */
  get settings(): FaultSettings {
    return this.settled
  }

  /** Told after every change which peers' links were cut or joined by it: their connections must be made anew. */
  onChange(listener: (addresses: ReadonlySet<string>) => void): void {
    this.listeners.push(listener)
  }

  /** Breaks something on purpose from now on. */
  set(change: FaultChange): void {
    if (!this.enabled) return
    const base = change.heal ? NO_SETTINGS : this.settled
    const settled = {
      dialMap: merged(base.dialMap, change.dialMap ?? {}, ''),
      delayMs: merged(base.delayMs, change.delayMs ?? {}, 0),
      partition: change.partition?.length ? new Set(change.partition.map(addressOf)) : base.partition,
    }
    if (this.healing) clearTimeout(this.healing)
    this.healing = change.ttlMs ? setTimeout(() => this.change(NO_SETTINGS, this.active), change.ttlMs).unref() : null
    this.change(settled, change.heal ? [] : this.active)
  }

  /** Adds a fault, or replaces the one of the same id, for at most LONGEST_FAULT_MS. */
  add(id: string, effect: FaultEffect, ttlMs: number): void {
    if (!this.enabled) return
    const endsAt = performance.now() + Math.min(Math.max(1, ttlMs), LONGEST_FAULT_MS)
    const named = isLinkEffect(effect) ? { ...effect, peers: new Set([...effect.peers].map(addressOf)) } : effect
    this.change(this.settled, [...this.active.filter((one) => one.id !== id), { id, effect: named, endsAt }])
  }

  /** Ends what was broken on purpose. */
  remove(ids: readonly string[]): void {
    this.change(
      this.settled,
      this.active.filter((one) => !ids.includes(one.id)),
    )
  }

  /** What was added and has not ended. */
  list(): FaultRecord[] {
    const now = performance.now()
    return this.active.map(({ id, effect, endsAt }) => ({ id, effect, leftMs: Math.max(0, Math.ceil(endsAt - now)) }))
  }

  /** Where to connect to reach `peer`. */
  dialTarget(peer: PeerId): { host: string; port: number } {
    const instead = this.settled.dialMap.get(peer.address)
    const colon = instead?.lastIndexOf(':') ?? -1
    return instead ? { host: instead.slice(0, colon), port: Number(instead.slice(colon + 1)) } : peer
  }

  /** How long the next message to `peer` waits before it leaves. */
  delayTo(peer: PeerId): number {
    let delay = this.settled.delayMs.get(peer.address) ?? 0
    for (const link of this.links)
      if (link.kind === 'delay' && concerns(link, peer.address))
        delay += Math.max(0, link.delayMs + (2 * this.random() - 1) * link.jitterMs)
    return delay
  }

  /** Nothing that this node sends reaches `peer`. */
  isCutTo(peer: PeerId): boolean {
    return this.cuts(peer.address, 'out')
  }

  /** Nothing that `peer` sends reaches this node. */
  isCutFrom(peer: PeerId): boolean {
    return this.cuts(peer.address, 'in')
  }

  /** The link is cut one way or both: no connection comes about. */
  isCut(peer: PeerId): boolean {
    return this.isCutTo(peer) || this.isCutFrom(peer)
  }

  /** Anything may happen to messages between this node and `peer`. */
  concerns(peer: PeerId): boolean {
    if (this.settled === NO_SETTINGS && this.links.length === 0) return false
    const { delayMs, partition } = this.settled
    if (delayMs.has(peer.address) || partition.has(peer.address)) return true
    return this.links.some((link) => concerns(link, peer.address))
  }

  /** The next message to `peer` is lost; ask once for each message. */
  loses(peer: PeerId): boolean {
    for (const link of this.links)
      if (link.kind === 'drop' && concerns(link, peer.address) && this.random() * 100 < link.percent) return true
    return false
  }

  /** How the clock of the engine goes; null: like every other. */
  get skew(): { readonly aheadMs: number; readonly rate: number } | null {
    const skews = this.active.flatMap(({ effect }) => (effect.kind === 'skew' ? [effect] : []))
    if (skews.length === 0) return null
    return {
      aheadMs: skews.reduce((sum, skew) => sum + skew.aheadMs, 0),
      rate: skews.reduce((product, skew) => product * skew.rate, 1),
    }
  }

  private cuts(address: string, direction: 'in' | 'out'): boolean {
    if (this.settled.partition.has(address)) return true
    return this.links.some(
      (link) => link.kind === 'cut' && concerns(link, address) && (link.direction === 'both' || link.direction === direction),
    )
  }

  private change(settled: FaultSettings, active: readonly Active[]): void {
    const before = this.settled
    const cutsBefore = cutsOf(this.settled, this.links)
    this.settled = settled
    this.active = active
    this.links = active.flatMap(({ effect }) => (isLinkEffect(effect) ? [effect] : []))
    this.disk = diskFault(
      active.map((one) => one.effect),
      this.random,
    )
    this.awaitExpiry()
    const cutsAfter = cutsOf(settled, this.links)
    const concerned = new Set<string>()
    for (const address of [...before.dialMap.keys(), ...settled.dialMap.keys()])
      if (before.dialMap.get(address) !== settled.dialMap.get(address)) concerned.add(address)
    for (const address of [...cutsBefore.keys(), ...cutsAfter.keys()])
      if (cutsBefore.get(address) !== cutsAfter.get(address)) concerned.add(address)
    for (const listener of this.listeners) listener(concerned)
  }

  /** One timer for the next to end. It keeps no process alive. */
  private awaitExpiry(): void {
    if (this.expiry) clearTimeout(this.expiry)
    this.expiry = null
    if (this.active.length === 0) return
    const next = Math.min(...this.active.map((one) => one.endsAt))
    this.expiry = setTimeout(() => this.expire(), Math.max(1, Math.ceil(next - performance.now()))).unref()
  }

  /** A timer of a busy process may fire before its time, by as long as the turn took that set it. */
  private expire(): void {
    const now = performance.now()
    const left = this.active.filter((one) => one.endsAt > now)
    if (left.length < this.active.length) this.change(this.settled, left)
    else this.awaitExpiry()
  }
}

function concerns(link: LinkEffect, address: string): boolean {
  return link.peers.size === 0 || link.peers.has(address)
}

/** By address: which directions are cut, as text that can be compared. */
function cutsOf(settled: FaultSettings, links: readonly LinkEffect[]): Map<string, string> {
  const cuts = new Map<string, string>()
  for (const address of settled.partition) cuts.set(address, 'both')
  for (const link of links)
    if (link.kind === 'cut') for (const address of link.peers) cuts.set(address, `${cuts.get(address) ?? ''} ${link.direction}`)
  return cuts
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
