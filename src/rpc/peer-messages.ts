import { braft } from '../generated/braft.js'
import { raftctl } from '../generated/raftctl.js'
import type {
  GetFileRequest,
  GetFileResponse,
  HelloRequest,
  HelloResponse,
  InstallSnapshotRequest,
  PeerCalls,
  PeerMethod,
  RequestVoteRequest,
  RequestVoteResponse,
  Standing,
} from '../raft/messages.js'
import { PeerId } from '../raft/peer-id.js'
import { asTerm, fromInt64, logIndex } from '../raft/types.js'
import { asBuffer } from './grpc.js'
import { snapshotMetaMessage, snapshotMetaOf } from './raft-messages.js'

const v1 = raftctl.v1

/** Translates one kind of call between the engine's messages and protobuf bytes. Decoders throw on bytes that are no such message. */
export interface PeerMethodCodec<M extends PeerMethod> {
  /** Of raftctl.v1.Peer. */
  readonly name: string
  encodeRequest(request: PeerCalls[M]['request']): Buffer
  decodeRequest(bytes: Uint8Array): PeerCalls[M]['request']
  encodeResponse(response: PeerCalls[M]['response']): Buffer
  decodeResponse(bytes: Uint8Array): PeerCalls[M]['response']
}

interface WireAddress {
  readonly group_id: string
  readonly server_id: string
  readonly peer_id: string
}

function addressed(message: WireAddress) {
  return { groupId: message.group_id, serverId: peerIdOf(message.server_id), peerId: peerIdOf(message.peer_id) }
}

function wireAddress(request: { groupId: string; serverId: PeerId; peerId: PeerId }): WireAddress {
  return { group_id: request.groupId, server_id: request.serverId.toString(), peer_id: request.peerId.toString() }
}

function peerIdOf(text: string): PeerId {
  const peer = PeerId.parse(text)
  if (!peer) throw new Error(`"${text}" is no PeerId (host:port:idx:role)`)
  return peer
}

function standingOf(text: string): Standing {
  if (text === 'founding' || text === 'rebuilding' || text === 'member') return text
  throw new Error(`"${text}" is no standing`)
}

type TermNumber = Parameters<typeof fromInt64>[0]
const termOf = (value: TermNumber) => asTerm(countOf(value))
const indexOf = (value: TermNumber) => logIndex(countOf(value))

/** What the engine counts with is whole, not negative, and below 2^53. */
function countOf(value: TermNumber): number {
  const count = fromInt64(value)
  if (!Number.isSafeInteger(count) || count < 0) throw new Error(`${count} is no index, term or offset`)
  return count
}

function encodeVoteRequest(request: RequestVoteRequest): Buffer {
  const disrupted = request.disruptedLeader
  const message = {
    ...wireAddress(request),
    term: request.term,
    last_log_term: request.lastLogTerm,
    last_log_index: request.lastLogIndex,
    disrupted_leader: disrupted ? { peer_id: disrupted.peerId.toString(), term: disrupted.term } : null,
  }
  return asBuffer(braft.RequestVoteRequest.encode(message).finish())
}

function decodeVoteRequest(bytes: Uint8Array): RequestVoteRequest {
  const message = braft.RequestVoteRequest.decode(bytes)
  const disrupted = message.disrupted_leader
  return {
    ...addressed(message),
    term: termOf(message.term),
    lastLogTerm: termOf(message.last_log_term),
    lastLogIndex: indexOf(message.last_log_index),
    disruptedLeader: disrupted ? { peerId: peerIdOf(disrupted.peer_id), term: termOf(disrupted.term) } : null,
  }
}

function encodeVoteResponse(response: RequestVoteResponse): Buffer {
  const message = {
    term: response.term,
    granted: response.granted,
    disrupted: response.disrupted,
    previous_term: response.previousTerm,
    rejected_by_lease: response.rejectedByLease,
  }
  return asBuffer(braft.RequestVoteResponse.encode(message).finish())
}

function decodeVoteResponse(bytes: Uint8Array): RequestVoteResponse {
  const message = braft.RequestVoteResponse.decode(bytes)
  return {
    term: termOf(message.term),
    granted: message.granted,
    disrupted: message.disrupted ?? false,
    previousTerm: termOf(message.previous_term),
    rejectedByLease: message.rejected_by_lease ?? false,
  }
}

const vote = {
  encodeRequest: encodeVoteRequest,
  decodeRequest: decodeVoteRequest,
  encodeResponse: encodeVoteResponse,
  decodeResponse: decodeVoteResponse,
}

/** What a member tells of itself besides the engine's answer. */
export interface HelloExtras {
  readonly name: string
  readonly clusterId: string | null
  readonly version: string
}

export function encodeHelloRequest(request: HelloRequest, name: string): Buffer {
  return asBuffer(
    v1.HelloRequest.encode({ ...wireAddress(request), incarnation: request.incarnation, standing: request.standing, name }).finish(),
  )
}

export function decodeHelloRequest(bytes: Uint8Array): { request: HelloRequest; name: string } {
  const message = v1.HelloRequest.decode(bytes)
  return {
    request: { ...addressed(message), incarnation: message.incarnation, standing: standingOf(message.standing) },
    name: message.name,
  }
}

export function encodeHelloResponse(response: HelloResponse, extras: HelloExtras): Buffer {
  const message = {
    incarnation: response.incarnation,
    standing: response.standing,
    boot_id: response.bootId,
    founders: Object.fromEntries(response.founders ?? []),
    cluster_id: extras.clusterId ?? '',
    name: extras.name,
    version: extras.version,
    last_log_index: response.lastLogIndex,
  }
  return asBuffer(v1.HelloResponse.encode(message).finish())
}

export function decodeHelloResponse(bytes: Uint8Array): { response: HelloResponse; extras: HelloExtras } {
  const message = v1.HelloResponse.decode(bytes)
  const founders = new Map(Object.entries(message.founders))
  return {
    response: {
      incarnation: message.incarnation,
      standing: standingOf(message.standing),
      bootId: message.boot_id,
      founders: founders.size > 0 ? founders : null,
      lastLogIndex: indexOf(message.last_log_index),
    },
    extras: {
      name: message.name,
      clusterId: message.cluster_id === '' ? null : message.cluster_id,
      version: message.version,
    },
  }
}

function encodeInstallRequest(request: InstallSnapshotRequest): Buffer {
  const meta = snapshotMetaMessage(request.meta)
  return asBuffer(braft.InstallSnapshotRequest.encode({ ...wireAddress(request), term: request.term, meta, uri: request.uri }).finish())
}

function decodeInstallRequest(bytes: Uint8Array): InstallSnapshotRequest {
  const message = braft.InstallSnapshotRequest.decode(bytes)
  return {
    ...addressed(message),
    term: termOf(message.term),
    meta: snapshotMetaOf(message.meta, peerIdOf),
    uri: message.uri,
  }
}

function encodeFileRequest(request: GetFileRequest): Buffer {
  const { readerId, filename, offset, count } = request
  return asBuffer(v1.PeerFileRequest.encode({ ...wireAddress(request), reader_id: readerId, filename, offset, count }).finish())
}

function decodeFileRequest(bytes: Uint8Array): GetFileRequest {
  const message = v1.PeerFileRequest.decode(bytes)
  const { reader_id, filename, offset, count } = message
  return { ...addressed(message), readerId: reader_id, filename, offset: countOf(offset), count }
}

function decodeFileResponse(bytes: Uint8Array): GetFileResponse {
  const { data, eof, crc32c } = v1.PeerFileChunk.decode(bytes)
  return { eof, data: asBuffer(data), crc32c }
}

/** Every unary call between members except hello, which carries more than the engine's message. */
export const peerMethodCodecs: { readonly [M in Exclude<PeerMethod, 'hello'>]: PeerMethodCodec<M> } = {
  preVote: { name: 'PreVote', ...vote },
  requestVote: { name: 'RequestVote', ...vote },
  timeoutNow: {
    name: 'TimeoutNow',
    encodeRequest: (request) =>
      asBuffer(
        braft.TimeoutNowRequest.encode({
          ...wireAddress(request),
          term: request.term,
          old_leader_stepped_down: request.oldLeaderSteppedDown,
        }).finish(),
      ),
    decodeRequest: (bytes) => {
      const message = braft.TimeoutNowRequest.decode(bytes)
      return { ...addressed(message), term: termOf(message.term), oldLeaderSteppedDown: message.old_leader_stepped_down ?? false }
    },
    encodeResponse: (response) => asBuffer(braft.TimeoutNowResponse.encode(response).finish()),
    decodeResponse: (bytes) => termAndSuccess(braft.TimeoutNowResponse.decode(bytes)),
  },
  installSnapshot: {
    name: 'InstallSnapshot',
    encodeRequest: encodeInstallRequest,
    decodeRequest: decodeInstallRequest,
    encodeResponse: (response) => asBuffer(braft.InstallSnapshotResponse.encode(response).finish()),
    decodeResponse: (bytes) => termAndSuccess(braft.InstallSnapshotResponse.decode(bytes)),
  },
  getFile: {
    name: 'GetFile',
    encodeRequest: encodeFileRequest,
    decodeRequest: decodeFileRequest,
    encodeResponse: (response) => asBuffer(v1.PeerFileChunk.encode(response).finish()),
    decodeResponse: decodeFileResponse,
  },
  settle: {
    name: 'Settle',
    encodeRequest: (request) =>
      asBuffer(
        v1.SettleRequest.encode({
          ...wireAddress(request),
          term: request.term,
          incarnation: request.incarnation,
          index: request.upTo.index,
          index_term: request.upTo.term,
        }).finish(),
      ),
    decodeRequest: (bytes) => {
      const message = v1.SettleRequest.decode(bytes)
      const upTo = { index: indexOf(message.index), term: termOf(message.index_term) }
      return { ...addressed(message), term: termOf(message.term), incarnation: message.incarnation, upTo }
    },
    encodeResponse: (response) => asBuffer(v1.SettleResponse.encode(response).finish()),
    decodeResponse: (bytes) => {
      const message = v1.SettleResponse.decode(bytes)
      return { term: termOf(message.term), settled: message.settled }
    },
  },
  readIndex: {
    name: 'ReadIndex',
    encodeRequest: (request) => asBuffer(v1.ReadIndexRequest.encode({ ...wireAddress(request), lease: request.mode === 'lease' }).finish()),
    decodeRequest: (bytes) => {
      const message = v1.ReadIndexRequest.decode(bytes)
      return { ...addressed(message), mode: message.lease ? ('lease' as const) : ('confirmed' as const) }
    },
    encodeResponse: (response) => asBuffer(v1.ReadIndexResponse.encode(response).finish()),
    decodeResponse: (bytes) => ({ index: indexOf(v1.ReadIndexResponse.decode(bytes).index) }),
  },
  release: {
    name: 'Release',
    encodeRequest: (request) => asBuffer(v1.ReleaseRequest.encode({ ...wireAddress(request), term: request.term }).finish()),
    decodeRequest: (bytes) => {
      const message = v1.ReleaseRequest.decode(bytes)
      return { ...addressed(message), term: termOf(message.term) }
    },
    encodeResponse: (response) => asBuffer(v1.ReleaseResponse.encode(response).finish()),
    decodeResponse: (bytes) => ({ term: termOf(v1.ReleaseResponse.decode(bytes).term) }),
  },
}

function termAndSuccess(message: { term: TermNumber; success: boolean }) {
  return { term: termOf(message.term), success: message.success }
}
