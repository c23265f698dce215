import { braft } from '../generated/braft.js'
import { decodeConfiguration } from '../raft/configuration.js'
import { assert, ErrorCode, Status } from '../raft/errors.js'
import { type EntryBatch, EntryType } from '../raft/log-entry.js'
import type {
  Addressed,
  AppendEntriesRequest,
  AppendEntriesResponse,
  GetFileResponse,
  InstallSnapshotRequest,
  PeerCalls,
  RequestVoteRequest,
  RequestVoteResponse,
  TimeoutNowRequest,
} from '../raft/messages.js'
import { fromInt64, type LogIndex, plus } from '../raft/types.js'
import { type Codec, MAX_MESSAGE_BYTES } from './grpc.js'
import { indexOf, snapshotMetaMessage, termOf } from './raft-messages.js'

/** The engine's requests as braft's messages, and braft's answers as the engine's. Required fields are always written. */

/** What braft.RaftService and the engine have in common, but for the append stream. */
export type BraftMethod = 'preVote' | 'requestVote' | 'timeoutNow' | 'installSnapshot'

/** A call of braft.RaftService as the engine makes it. */
export interface BraftCall<M extends BraftMethod> {
  readonly method: string
  encode(request: PeerCalls[M]['request']): Uint8Array
  decode(bytes: Uint8Array): PeerCalls[M]['response']
}

type BraftCalls = { readonly [M in BraftMethod]: BraftCall<M> }

function address({ groupId, serverId, peerId }: Addressed) {
  return { group_id: groupId, server_id: serverId.toString(), peer_id: peerId.toString() }
}

function encodeVote(request: RequestVoteRequest): Uint8Array {
  const { term, lastLogTerm, lastLogIndex, disruptedLeader } = request
  const disrupted = disruptedLeader ? { peer_id: disruptedLeader.peerId.toString(), term: disruptedLeader.term } : null
  return braft.RequestVoteRequest.encode({
    ...address(request),
    term,
    last_log_term: lastLogTerm,
    last_log_index: lastLogIndex,
    disrupted_leader: disrupted,
  }).finish()
}

function decodeVote(bytes: Uint8Array): RequestVoteResponse {
  const { term, granted, disrupted, previous_term, rejected_by_lease } = braft.RequestVoteResponse.decode(bytes)
  return {
    term: termOf(term),
    granted,
    disrupted: disrupted ?? false,
    previousTerm: termOf(previous_term ?? 0),
    rejectedByLease: rejected_by_lease ?? false,
  }
}

function termAndSuccess<T>(codec: Codec<never, T & { term: Parameters<typeof termOf>[0]; success: boolean }>) {
  return (bytes: Uint8Array) => {
    const { term, success } = codec.decode(bytes)
    return { term: termOf(term), success }
  }
}

export const braftCalls: BraftCalls = {
  preVote: { method: 'pre_vote', encode: encodeVote, decode: decodeVote },
  requestVote: { method: 'request_vote', encode: encodeVote, decode: decodeVote },
  timeoutNow: {
    method: 'timeout_now',
    encode: (request: TimeoutNowRequest) => {
      const { term, oldLeaderSteppedDown } = request
      return braft.TimeoutNowRequest.encode({ ...address(request), term, old_leader_stepped_down: oldLeaderSteppedDown }).finish()
    },
    decode: termAndSuccess(braft.TimeoutNowResponse),
  },
  installSnapshot: {
    method: 'install_snapshot',
    encode: (request: InstallSnapshotRequest) => {
      const { term, meta, uri } = request
      return braft.InstallSnapshotRequest.encode({ ...address(request), term, meta: snapshotMetaMessage(meta), uri }).finish()
    },
    decode: termAndSuccess(braft.InstallSnapshotResponse),
  },
}

/**
 * One append_entries of all these requests: without entries of the only one, else of those that follow each other in the log.
 * The data of the entries goes into the attachment, nothing between.
 */
export function encodeAppend(requests: readonly AppendEntriesRequest[]): { message: Uint8Array; attachment: Buffer } {
  const [first] = requests
  const last = requests.at(-1)
  assert(first && last, 'nothing to append')
  const batches = requests.flatMap(({ entries }) => entries ?? [])
  const message = braft.AppendEntriesRequest.encode({
    ...address(first),
    term: last.term,
    prev_log_term: first.prevLogTerm,
    prev_log_index: first.prevLogIndex,
    entries: batches.flatMap(metasOf),
    committed_index: last.committedIndex,
  }).finish()
  return { message, attachment: dataOf(batches) }
}

function metasOf(batch: EntryBatch): braft.EntryMeta.$Properties[] {
  const metas: braft.EntryMeta.$Properties[] = []
  for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1)) metas.push(metaOf(batch, index))
  return metas
}

/** data_len is there also where it is 0: without it braft cuts nothing off the attachment. */
function metaOf(batch: EntryBatch, index: LogIndex): braft.EntryMeta.$Properties {
  const term = batch.termAt(index)
  const type = batch.typeAt(index)
  // braft leaves it out where it leaves the data out, for a witness.
  if (batch.isBareAt(index)) return { term, type }
  if (type !== EntryType.CONFIGURATION) return { term, type, data_len: batch.dataAt(index).length }
  const members = decodeConfiguration(batch.dataAt(index), { index, term })
  assert(members, 'a configuration entry that cannot be read', { index })
  return { term, type, data_len: 0, peers: members.conf.peers.map(String), old_peers: members.old.peers.map(String) }
}

function dataOf(batches: readonly EntryBatch[]): Buffer {
  const pieces: Buffer[] = []
  for (const batch of batches)
    for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1))
      if (batch.typeAt(index) === EntryType.DATA) pieces.push(batch.dataAt(index))
  return Buffer.concat(pieces)
}

export function decodeAppend(bytes: Uint8Array): AppendEntriesResponse {
  const { term, success, last_log_index, readonly } = braft.AppendEntriesResponse.decode(bytes)
  return {
    term: termOf(term),
    success,
    lastLogIndex: indexOf(last_log_index ?? 0, 'last_log_index'),
    readonly: readonly ?? false,
    short: false,
    rebuilding: false,
  }
}

const SEGMENT_HEADER_BYTES = 12

/**
 * What get_file gave: FileSegData with holes where blocks were all zero. No more than was asked for is ever allocated, however large the
 * answer says that it is.
 */
export function decodeFile(
  bytes: Uint8Array,
  attachment: Buffer,
  { offset, count }: { readonly offset: number; readonly count: number },
): Omit<GetFileResponse, 'crc32c'> | Status {
  const { eof, read_size } = braft.GetFileResponse.decode(bytes)
  const bad = (why: string) => Status.error(ErrorCode.EREQUEST, `a piece of a file that cannot be read: ${why}`)
  const segments: { at: number; data: Buffer }[] = []
  for (let at = 0; at < attachment.length; ) {
    if (attachment.length - at < SEGMENT_HEADER_BYTES) return bad('a segment without a header')
    const segmentAt = Number(attachment.readBigUInt64BE(at)) - offset
    const length = attachment.readUInt32BE(at + 8)
    at += SEGMENT_HEADER_BYTES
    if (length > attachment.length - at) return bad('a segment that is cut short')
    segments.push({ at: segmentAt, data: attachment.subarray(at, (at += length)) })
  }
  const size = Math.max(fromInt64(read_size), ...segments.map((segment) => segment.at + segment.data.length))
  const [only] = segments
  if (only && segments.length === 1 && only.at === 0 && only.data.length === size) return { eof, data: only.data }
  if (size > Math.min(count, MAX_MESSAGE_BYTES) || segments.some((segment) => segment.at < 0)) return bad('segments out of its range')
  const data = Buffer.alloc(size)
  for (const segment of segments) segment.data.copy(data, segment.at)
  return { eof, data }
}
