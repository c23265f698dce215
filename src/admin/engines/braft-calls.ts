import { braft } from '../../generated/braft.js'
import { defineService, rawCodec, unary } from '../../rpc/grpc.js'
import type { Connection } from '../../terminal/connection.js'
import { braftError } from './braft-errors.js'
import { type CallSettings, ServiceCalls, type WriteSettings } from './service-calls.js'

/**
 * What is asked of braft.CliService. The answers are taken as bytes: brpc puts an empty message before the error of a failed call,
 * which need not decode, and what a change came to is read off the pages of the nodes anyway. Whom a node believes to lead
 * (get_leader) is not asked: its page says it together with the term.
 */
const CliService = defineService('braft.CliService', {
  add_peer: unary(braft.AddPeerRequest, rawCodec),
  remove_peer: unary(braft.RemovePeerRequest, rawCodec),
  change_peers: unary(braft.ChangePeersRequest, rawCodec),
  reset_peer: unary(braft.ResetPeerRequest, rawCodec),
  snapshot: unary(braft.SnapshotRequest, rawCodec),
  transfer_leader: unary(braft.TransferLeaderRequest, rawCodec),
})

/** What every request names: the group, and the node that shall carry it out. */
export interface OnNode {
  readonly endpoint: string
  readonly group: string
  /** PeerId of the node. */
  readonly node: string
}

/** What administrators ask of braft nodes over gRPC. Owns its channels. */
export class BraftCalls implements Disposable {
  private readonly calls: ServiceCalls<(typeof CliService)['methods']>

  constructor(connection: Connection) {
    this.calls = new ServiceCalls(connection, CliService, braftError)
  }

  [Symbol.dispose](): void {
    this.calls[Symbol.dispose]()
  }

  /** Answers when the change is over, however long that takes. */
  async change(on: OnNode, change: PeerChange, settings: WriteSettings): Promise<void> {
    const { endpoint } = on
    const to = { group_id: on.group, leader_id: on.node }
    await this.calls.write(
      endpoint,
      (client, options) => {
        switch (change.kind) {
          case 'add':
            return client.call('add_peer', { ...to, peer_id: change.peer }, options)
          case 'remove':
            return client.call('remove_peer', { ...to, peer_id: change.peer }, options)
          case 'set':
            return client.call('change_peers', { ...to, new_peers: [...change.peers] }, options)
        }
      },
      settings,
    )
  }

  /** Has the node believe that these are all members; it gives up its term. */
  async reset({ endpoint, group, node }: OnNode, peers: readonly string[], settings: WriteSettings): Promise<void> {
    const request = { group_id: group, peer_id: node, new_peers: [...peers] }
    await this.calls.write(endpoint, (client, options) => client.call('reset_peer', request, options), settings)
  }

  /** Answers when the snapshot is taken. */
  async snapshot({ endpoint, group, node }: OnNode, settings: WriteSettings): Promise<void> {
    const request = { group_id: group, peer_id: node }
    await this.calls.write(endpoint, (client, options) => client.call('snapshot', request, options), settings)
  }

  /** Answers when the leader has begun to hand over. */
  async transfer({ endpoint, group, node }: OnNode, target: string, settings: CallSettings): Promise<void> {
    const request = { group_id: group, leader_id: node, peer_id: target }
    const check = 'raftctl leader show'
    await this.calls.write(endpoint, (client, options) => client.call('transfer_leader', request, options), { ...settings, check })
  }
}

/** One member more, one less, or all of them anew (by joint consensus). */
export type PeerChange =
  | { readonly kind: 'add' | 'remove'; readonly peer: string }
  | { readonly kind: 'set'; readonly peers: readonly string[] }
