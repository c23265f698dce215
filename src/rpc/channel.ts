import * as grpc from '@grpc/grpc-js'
import { BaiduStdClient, type BaiduStdClientOptions } from './baidu-std-client.js'
import { MESSAGE_LIMITS } from './grpc.js'

export interface ChannelsOptions {
  /** How long to wait before a lost gRPC connection is tried again, at most. */
  readonly reconnectBackoffMaxMs?: number
  readonly baiduStd?: BaiduStdClientOptions
}

/**
 * The connections of a client: one per address and protocol, opened when first used, shared by everyone who asks.
 * Whoever made it closes it; the channels it gave out end with it.
 */
export class Channels {
  private readonly grpcByAddress = new Map<string, grpc.Client>()
  private readonly baiduStdByAddress = new Map<string, BaiduStdClient>()

  constructor(private readonly options: ChannelsOptions = {}) {}

  /** `address` is `host:port`. */
  grpc(address: string): grpc.Client {
    let channel = this.grpcByAddress.get(address)
    if (!channel) {
      const { reconnectBackoffMaxMs = 1_000 } = this.options
      channel = new grpc.Client(address, grpc.credentials.createInsecure(), {
        ...MESSAGE_LIMITS,
        'grpc.initial_reconnect_backoff_ms': Math.min(100, reconnectBackoffMaxMs),
        'grpc.min_reconnect_backoff_ms': Math.min(100, reconnectBackoffMaxMs),
        'grpc.max_reconnect_backoff_ms': reconnectBackoffMaxMs,
        // A name is looked up again by the next attempt to connect: by default not within 30 s.
        'grpc.dns_min_time_between_resolutions_ms': Math.min(100, reconnectBackoffMaxMs),
        'grpc.keepalive_time_ms': 30_000,
        'grpc.keepalive_timeout_ms': 10_000,
        'grpc.enable_http_proxy': 0,
        'grpc.use_local_subchannel_pool': 1,
      })
      this.grpcByAddress.set(address, channel)
    }
    return channel
  }

  /** `address` is `host:port`. */
  baiduStd(address: string): BaiduStdClient {
    let client = this.baiduStdByAddress.get(address)
    if (!client) {
      const colon = address.lastIndexOf(':')
      client = new BaiduStdClient(address.slice(0, colon), Number(address.slice(colon + 1)), this.options.baiduStd)
      this.baiduStdByAddress.set(address, client)
    }
    return client
  }

  /** Closes what was opened to `address`: its owner is gone for good. */
  drop(address: string): void {
    this.grpcByAddress.get(address)?.close()
    this.grpcByAddress.delete(address)
    this.baiduStdByAddress.get(address)?.close()
    this.baiduStdByAddress.delete(address)
  }

  close(): void {
    for (const address of new Set([...this.grpcByAddress.keys(), ...this.baiduStdByAddress.keys()])) this.drop(address)
  }
}
