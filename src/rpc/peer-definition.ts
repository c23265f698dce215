import { bidiStream, defineService, rawCodec, unary } from './grpc.js'

const raw = unary(rawCodec, rawCodec)

/**
 * raftctl.v1.Peer: what members say to each other (proto/peer.proto). All messages pass as bytes: peer-messages.ts and
 * peer-codec.ts translate them to the engine's, at both ends.
 */
export const Peer = defineService('raftctl.v1.Peer', {
  Ping: raw,
  Hello: raw,
  PreVote: raw,
  RequestVote: raw,
  Append: bidiStream(rawCodec, rawCodec),
  InstallSnapshot: raw,
  TimeoutNow: raw,
  Release: raw,
  ReadIndex: raw,
  GetFile: raw,
  Settle: raw,
})

/** Answered by every raftctl node, and by nobody else. */
export const PING = 'Ping'

/** The append stream where there are only calls (baidu_std). The log id of each names the stream on its connection. */
export const StreamMethod = { open: 'OpenAppend', frame: 'Append', close: 'CloseAppend' } as const
