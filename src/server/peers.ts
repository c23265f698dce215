import type { Checksum, Executor, Transport } from '../raft/environment.js'
import type { RaftEvent } from '../raft/events.js'
import type { PeerId } from '../raft/peer-id.js'
import type { Faults } from '../rpc/faults.js'
import type { ProcessIdentity } from '../rpc/identity.js'
import { MixedTransport } from '../rpc/mixed-transport.js'
import type { PeerKind } from '../rpc/peer-kinds.js'
import { PeerTransport } from '../rpc/transport.js'
import type { NodeConfiguration } from './configuration.js'

/** A peer that may not take part is named in the log at most this often. */
const SAY_AGAIN_MS = 60_000
/** Anybody may call under any address: of so many it is known what they are, and no more of them are named at a time. */
const PEERS_MAX = 1024

export interface PeersOptions {
  readonly configuration: NodeConfiguration
  readonly executor: Executor
  readonly checksum: Checksum
  readonly identity: ProcessIdentity
  readonly faults: Faults
  readonly onName: (peer: PeerId, name: string) => void
  readonly observe: (event: RaftEvent) => void
}

interface ClosableTransport extends Transport {
  noteAlive(peer: PeerId): void
  close(): void
}

/** The other processes of the group: the way to them, what kind each is, and which of them may not take part. */
export class Peers {
  readonly transport: ClosableTransport
  private readonly kinds = new Map<string, PeerKind>()
  private readonly refusedAt = new Map<string, number>()

  constructor(private readonly options: PeersOptions) {
    const { configuration, executor, checksum, identity, faults, onName } = options
    const onStranger = (peer: PeerId) => this.refuse(configuration.group, peer)
    const own = new PeerTransport({ protocol: configuration.transport, executor, identity, faults, onName, onStranger })
    const onKind = (peer: PeerId, kind: PeerKind) => this.learn(peer, kind)
    this.transport = configuration.mixed ? new MixedTransport({ own, executor, checksum, identity, faults, onKind }) : own
  }

  /** A raftctl node called. */
  noteAlive(peer: PeerId): void {
    this.learn(peer, 'raftctl')
    this.transport.noteAlive(peer)
  }

  /** A braft node called. */
  noteBraft(groupId: string, peer: PeerId, taken: boolean): void {
    this.learn(peer, 'braft')
    if (taken) this.transport.noteAlive(peer)
    else this.refuse(groupId, peer)
  }

  /** Null while nothing was heard of it. */
  kindOf(peer: PeerId): PeerKind | null {
    return this.kinds.get(peer.address) ?? null
  }

  private learn(peer: PeerId, kind: PeerKind): void {
    if (this.kinds.get(peer.address) === kind) return
    this.kinds.set(peer.address, kind)
    if (this.kinds.size > PEERS_MAX) this.kinds.delete(this.kinds.keys().next().value!)
  }

  private refuse(groupId: string, peer: PeerId): void {
    const now = performance.now()
    this.learn(peer, 'braft')
    if (now - (this.refusedAt.get(peer.address) ?? Number.NEGATIVE_INFINITY) < SAY_AGAIN_MS) return
    this.refusedAt.delete(peer.address)
    for (const [address, at] of this.refusedAt) {
      if (now - at < SAY_AGAIN_MS) break
      this.refusedAt.delete(address)
    }
    if (this.refusedAt.size >= PEERS_MAX) return
    this.refusedAt.set(peer.address, now)
    const reason = 'it is a braft node; a group takes those only when its raftctl members were started with --mixed'
    this.options.observe({ name: 'peer.refused', groupId, peerId: this.options.configuration.peerId, peer, reason })
  }
}
