import type { Status } from '../raft/errors.js'
import type { Lookup } from './dial.js'

/** How peers are connected: by gRPC or by baidu_std. */
export const PEER_PROTOCOLS = ['grpc', 'baidu_std'] as const
export type PeerProtocol = (typeof PEER_PROTOCOLS)[number]

export interface ChannelOptions {
  readonly host: string
  readonly port: number
  readonly connectTimeoutMs: number
  /** How often a connection in use is pinged, and how long an answer may take: finds half-open ones. */
  readonly pingIntervalMs: number
  readonly pingTimeoutMs: number
  /** Finds the addresses of a name; the system's when left out. */
  readonly lookup?: Lookup | undefined
}

/** Who the other side says it is: reads one value of its metadata. */
export type FieldReader = (key: string) => string | undefined

export interface ChannelEvents {
  /** The peer took the call. */
  opened(fields: FieldReader): void
  message(bytes: Buffer): void
  /** The last event, once: OK when the peer ended the call well. */
  ended(status: Status): void
}

/** A call under way; `ended` is not called after `cancel`. */
export interface ChannelCall {
  cancel(): void
}

/** An append stream on its way to a peer. */
export interface ChannelStream extends ChannelCall {
  /** One append frame as peer-codec.ts encodes it: the head, with room for a prefix, and the entries' own bytes. */
  send(head: Buffer, entries: Buffer | null): void
  /** Bytes that wait in this process. */
  readonly bufferedBytes: number
}

/**
 * One connection to one peer process, shared by every call and append stream to it: raftctl.v1.Peer in one protocol.
 *
 * Connects on demand and gives up after the connect timeout; when the connection is lost every call ends at once, with a
 * status that says how. Nothing here throws, and no event comes from inside the call that asked for it.
 */
export interface PeerChannel {
  /** One request, at most one message back. */
  call(method: string, request: Buffer, context: CallHeaders, events: ChannelEvents): ChannelCall
  openAppend(fields: Readonly<Record<string, string>>, events: ChannelEvents): ChannelStream
  /** The peer was heard from: there is something to connect to. */
  resetBackoff(): void
  /** Who answers is not who was called: hangs up if the name leads elsewhere by now, so that the next call finds it. */
  lookAgain(): void
  /** Ends every call with `status` and hangs up. The channel can be used again. */
  close(status: Status): void
}

export interface CallHeaders {
  readonly fields: Readonly<Record<string, string>>
  readonly timeoutMs: number
}
