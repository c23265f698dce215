import type { PeerId } from '../raft/peer-id.js'

/** gRPC metadata of raftctl's own calls. Values are ASCII; names and groups travel percent-encoded. */
export const MetadataKey = {
  clusterId: 'raftctl-cluster-id',
  peerId: 'raftctl-peer-id',
  incarnation: 'raftctl-incarnation',
  bootId: 'raftctl-boot-id',
  generation: 'raftctl-generation',
  version: 'raftctl-version',
  group: 'raftctl-group',
  groupUid: 'raftctl-group-uid',
  from: 'raftctl-from',
  to: 'raftctl-to',
  stream: 'raftctl-stream',
  heartbeats: 'raftctl-heartbeat-roll',
  errno: 'raftctl-errno',
} as const

/** Reads one metadata value of a request. */
export type MetadataReader = (key: string) => string | undefined

/**
 * Who this process is, as it tells everybody it speaks to.
 *
 * Owned by the node process; the cluster id is unknown until the founders know each other (or it was given), and never
 * changes after that.
 */
export class ProcessIdentity {
  private knownClusterId: string | null
  private directory = { incarnation: '', generation: 0 }
  /** Of the groups that were created at run time. */
  private readonly uids = new Map<string, string>()
  /** Grows whenever one of them comes or goes. */
  groupsVersion = 0

  constructor(
    readonly peerId: PeerId,
    readonly name: string,
    readonly bootId: string,
    readonly version: string,
    clusterId: string | null,
  ) {
    this.knownClusterId = clusterId
  }

  /** 128 bits in hex, or null while unknown. */
  get clusterId(): string | null {
    return this.knownClusterId
  }

  /** Of the data directory; empty until it was read. */
  get incarnation(): string {
    return this.directory.incarnation
  }

  /** Counts the recoveries of the cluster by hand; 0 until the directory was read. */
  get generation(): number {
    return this.directory.generation
  }

  /** What the data directory says of itself. */
  setDirectory(directory: { readonly incarnation: string; readonly generation: number }): void {
    this.directory = directory
  }

  /** Learns the cluster id. False when another one is known already. */
  adoptClusterId(clusterId: string): boolean {
    this.knownClusterId ??= clusterId
    return this.knownClusterId === clusterId
  }

  /** A group that was created at run time is here. */
  knowGroup(groupId: string, uid: string): void {
    this.uids.set(groupId, uid)
    this.groupsVersion++
  }

  /** That group is not here any more. */
  forgetGroup(groupId: string): void {
    this.uids.delete(groupId)
    this.groupsVersion++
  }

  /** '' for one that a node was started with. */
  uidOf(groupId: string): string {
    return this.uids.get(groupId) ?? ''
  }

  /** Why a caller means another group of the same name; null when it does not. */
  groupMismatch(groupId: string, uid: string | undefined): string | null {
    const own = this.uidOf(groupId)
    if ((uid ?? '') === own) return null
    return `another group ${groupId} is on ${this.peerId.address}: the one that the caller means was removed, or created anew`
  }

  /** What every call to a peer carries, and one about a group besides. */
  peerMetadata(groupId: string | null): Record<string, string> {
    const metadata: Record<string, string> = {
      [MetadataKey.peerId]: this.peerId.toString(),
      [MetadataKey.bootId]: this.bootId,
      [MetadataKey.generation]: String(this.generation),
      [MetadataKey.version]: this.version,
    }
    const uid = groupId === null ? '' : this.uidOf(groupId)
    if (uid !== '') metadata[MetadataKey.groupUid] = uid
    if (this.incarnation !== '') metadata[MetadataKey.incarnation] = this.incarnation
    if (this.knownClusterId) metadata[MetadataKey.clusterId] = this.knownClusterId
    return metadata
  }

  /** What every response of ours carries in its initial metadata. */
  responseMetadata(): Record<string, string> {
    const metadata: Record<string, string> = { [MetadataKey.peerId]: this.peerId.toString(), [MetadataKey.bootId]: this.bootId }
    if (this.knownClusterId) metadata[MetadataKey.clusterId] = this.knownClusterId
    return metadata
  }

  /** Why a caller that expects `expected` is in the wrong place; null when it is not, or nobody can tell yet. */
  clusterMismatch(expected: string | undefined): string | null {
    if (!expected || !this.knownClusterId || expected === this.knownClusterId) return null
    return `${this.peerId.address} belongs to cluster ${this.knownClusterId}, the caller expects ${expected}`
  }
}
