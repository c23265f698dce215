import { braft, example } from '../../src/generated/braft.js'
import { BaiduStdClient, type BaiduStdMethod, callBaiduStd } from '../../src/rpc/baidu-std-client.js'
import type { Codec } from '../../src/rpc/grpc.js'

const CLI = 'braft.CliService'
const COUNTER = 'example.CounterService'

export const FETCH_ADD = method(COUNTER, 'fetch_add', example.FetchAddRequest, example.CounterResponse)
export const GET = method(COUNTER, 'get', example.GetRequest, example.CounterResponse)

function method<In, Out>(service: string, name: string, request: Codec<In, unknown>, response: Codec<never, Out>): BaiduStdMethod<In, Out> {
  return { service, method: name, request, response }
}

/** A change may copy a snapshot first. */
const CHANGE_TIMEOUT_MS = 60_000
const CALL_TIMEOUT_MS = 5000

/** What braft's administrators ask of a member, of whichever kind, by baidu_std. */
export class GroupCalls {
  private readonly clients = new Map<string, BaiduStdClient>()

  constructor(private readonly group: string) {}

  async addPeer(leader: string, peer: string): Promise<void> {
    const request = { group_id: this.group, leader_id: leader, peer_id: peer }
    await this.call(leader, method(CLI, 'add_peer', braft.AddPeerRequest, braft.AddPeerResponse), request, CHANGE_TIMEOUT_MS)
  }

  async removePeer(leader: string, peer: string): Promise<void> {
    const request = { group_id: this.group, leader_id: leader, peer_id: peer }
    await this.call(leader, method(CLI, 'remove_peer', braft.RemovePeerRequest, braft.RemovePeerResponse), request, CHANGE_TIMEOUT_MS)
  }

  async changePeers(leader: string, peers: readonly string[]): Promise<void> {
    const request = { group_id: this.group, leader_id: leader, new_peers: [...peers] }
    await this.call(leader, method(CLI, 'change_peers', braft.ChangePeersRequest, braft.ChangePeersResponse), request, CHANGE_TIMEOUT_MS)
  }

  /** Answered as soon as the transfer has begun. */
  async transferLeader(leader: string, target: string): Promise<void> {
    const request = { group_id: this.group, leader_id: leader, peer_id: target }
    await this.call(leader, method(CLI, 'transfer_leader', braft.TransferLeaderRequest, braft.TransferLeaderResponse), request)
  }

  async snapshot(peer: string): Promise<void> {
    const request = { group_id: this.group, peer_id: peer }
    await this.call(peer, method(CLI, 'snapshot', braft.SnapshotRequest, braft.SnapshotResponse), request, CHANGE_TIMEOUT_MS)
  }

  /** Adds to the counter of the leader. */
  async fetchAdd(leader: string, value: number): Promise<void> {
    const { success } = await this.call(leader, FETCH_ADD, { value })
    if (!success) throw new Error(`${leader} added nothing: it does not lead`)
  }

  /** The value of the counter; null from a member that does not lead. */
  async value(peer: string): Promise<bigint | null> {
    const { success, value } = await this.call(peer, GET, {})
    return success ? int64(value) : null
  }

  close(): void {
    for (const client of this.clients.values()) client.close()
  }

  private async call<In, Out>(peer: string, method: BaiduStdMethod<In, Out>, request: In, timeoutMs = CALL_TIMEOUT_MS): Promise<Out> {
    const { response } = await callBaiduStd(this.client(peer), method, request, { timeoutMs })
    return response
  }

  private client(peer: string): BaiduStdClient {
    const known = this.clients.get(peer)
    if (known) return known
    const client = clientOf(peer)
    this.clients.set(peer, client)
    return client
  }
}

/** A connection to the process of a peer, given as `ip:port[:index[:role]]`. */
export function clientOf(peer: string): BaiduStdClient {
  const [host, port] = peer.split(':')
  return new BaiduStdClient(host!, Number(port))
}

/** A 64-bit field, whole. */
export function int64(value: number | { toString(): string } | null | undefined): bigint {
  return BigInt((value ?? 0).toString())
}
