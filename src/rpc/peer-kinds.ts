import { ErrorCode, Status } from '../raft/errors.js'
import type { PeerId } from '../raft/peer-id.js'
import { BaiduStdClient } from './baidu-std-client.js'
import { BaiduStdPinger } from './baidu-std-pinger.js'
import { isUnknownService, plainStatus } from './braft-error.js'
import type { Faults } from './faults.js'
import type { ProcessIdentity } from './identity.js'
import { Peer, PING } from './peer-definition.js'

/** What runs at an address. */
export type PeerKind = 'raftctl' | 'braft'

type Waiter = (kind: PeerKind | Status) => void

/**
 * One process that may be either kind, and the baidu_std connection that it is known by: what it is holds for as long as that
 * connection, since another process may come to its address. A raftctl node answers Ping; braft says that there is no such method.
 */
export class KnownPeer {
  readonly client: BaiduStdClient
  kind: PeerKind | null = null
  /** Told once when the connection is lost. */
  readonly onLost = new Set<(status: Status) => void>()
  private waiters: Waiter[] = []
  private readonly pinger: BaiduStdPinger

  constructor(
    readonly peerId: PeerId,
    target: { readonly host: string; readonly port: number },
    private readonly options: PeerKindsOptions,
  ) {
    const { connectTimeoutMs, pingMs } = options
    this.client = new BaiduStdClient(target.host, target.port, { connectTimeoutMs, onDisconnected: (status) => this.lost(status) })
    this.pinger = new BaiduStdPinger(this.client, { intervalMs: pingMs, timeoutMs: pingMs, isInUse: () => true })
  }

  /** Never calls back from inside unless the kind is known. */
  whenKnown(then: Waiter): void {
    if (this.kind) return then(this.kind)
    this.waiters.push(then)
    if (this.waiters.length === 1) this.identify()
  }

  close(status: Status): void {
    this.client.hangUp(status)
    this.settle(status)
  }

  /** It turned out to be something else. */
  forget(): void {
    this.close(Status.error(ErrorCode.ECONNRESET, 'another process is there now'))
  }

  private identify(): void {
    const { identity, faults, connectTimeoutMs: timeoutMs, onKind } = this.options
    if (faults.isCut(this.peerId)) {
      const cut = Status.error(ErrorCode.EHOSTDOWN, `${this.peerId} did not answer within ${timeoutMs} ms`)
      return void setTimeout(() => this.settle(cut), timeoutMs).unref()
    }
    const userFields = new Map(Object.entries(identity.peerMetadata(null)))
    this.client.call({ service: Peer.name, method: PING, message: NO_BYTES, userFields, timeoutMs }, (status) => {
      const kind = isUnknownService(status) ? 'braft' : status.ok || status.code === ErrorCode.EPERM ? 'raftctl' : null
      if (!kind) return this.settle(plainStatus(status))
      this.kind = kind
      this.pinger.start()
      onKind(this.peerId, kind)
      this.settle(kind)
    })
  }

  private settle(outcome: PeerKind | Status): void {
    for (const waiter of this.waiters.splice(0)) waiter(outcome)
  }

  private lost(status: Status): void {
    this.kind = null
    this.pinger.stop()
    const listeners = [...this.onLost]
    this.onLost.clear()
    for (const listener of listeners) listener(plainStatus(status))
  }
}

export interface PeerKindsOptions {
  readonly identity: ProcessIdentity
  readonly faults: Faults
  readonly connectTimeoutMs: number
  readonly pingMs: number
  readonly onKind: (peer: PeerId, kind: PeerKind) => void
}

/** The processes of a group that may have members of either kind, by address. */
export class PeerKinds {
  private readonly peers = new Map<string, KnownPeer>()

  constructor(private readonly options: PeerKindsOptions) {
    options.faults.onChange((addresses) => {
      for (const address of addresses) this.drop(address)
    })
  }

  of(peer: PeerId): KnownPeer {
    let known = this.peers.get(peer.address)
    if (!known) {
      known = new KnownPeer(peer, this.options.faults.dialTarget(peer), this.options)
      this.peers.set(peer.address, known)
    }
    return known
  }

  /** It called us: there is something to connect to. */
  noteAlive(peer: PeerId): void {
    this.peers.get(peer.address)?.client.resetBackoff()
  }

  close(): void {
    for (const address of [...this.peers.keys()]) this.drop(address)
  }

  private drop(address: string): void {
    const peer = this.peers.get(address)
    this.peers.delete(address)
    peer?.close(Status.error(ErrorCode.ECONNRESET, 'the connection was closed'))
  }
}

const NO_BYTES = Buffer.alloc(0)
