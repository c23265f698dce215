import * as grpc from '@grpc/grpc-js'
import protobuf from 'protobufjs/minimal.js'
import { raftctl } from '../generated/raftctl.js'
import { asBuffer } from './grpc.js'
import type { CallFailure } from './grpc-call.js'

/** What every error of raftctl's own services says besides its text. */
export interface ErrorDetail {
  /** A code of the command line's registry, `E_NO_LEADER` for instance. */
  readonly code: string
  /** PeerId of the leader as far as the answering node knows. */
  readonly leaderHint?: string | undefined
  readonly retryable: boolean
  /** Whether the request may have taken effect. */
  readonly applied: 'yes' | 'no' | 'unknown'
}

const KEY = 'grpc-status-details-bin'
const TYPE_URL = 'type.googleapis.com/raftctl.v1.ErrorDetail'

/** An error for a gRPC callback or stream, with its detail in `grpc-status-details-bin`. */
export function toGrpcError(code: grpc.status, detail: ErrorDetail, message: string): Error & CallFailure & { metadata: grpc.Metadata } {
  const metadata = new grpc.Metadata()
  metadata.set(KEY, encodeRpcStatus(code, message, detail))
  return Object.assign(new Error(message), { code, details: message, metadata })
}

/** The detail of an error that a raftctl node answered with; null when it carries none (braft, or no answer at all). */
export function readErrorDetail(error: { metadata?: grpc.Metadata }): ErrorDetail | null {
  const value = error.metadata?.get(KEY)[0]
  if (!(value instanceof Uint8Array)) return null
  try {
    return decodeRpcStatus(value)
  } catch {
    return null
  }
}

/** google.rpc.Status: 1 code, 2 message, 3 repeated google.protobuf.Any { 1 type_url, 2 value }. */
function encodeRpcStatus(code: number, message: string, detail: ErrorDetail): Buffer {
  const value = raftctl.v1.ErrorDetail.encode({
    code: detail.code,
    leader_hint: detail.leaderHint ?? '',
    retryable: detail.retryable,
    applied: detail.applied,
  }).finish()
  const writer = protobuf.Writer.create().uint32(8).int32(code).uint32(18).string(message)
  writer.uint32(26).fork().uint32(10).string(TYPE_URL).uint32(18).bytes(value).ldelim()
  return asBuffer(writer.finish())
}

function decodeRpcStatus(bytes: Uint8Array): ErrorDetail | null {
  const reader = protobuf.Reader.create(bytes)
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag !== 26) {
      reader.skipType(tag & 7)
      continue
    }
    const detail = decodeAny(reader, reader.uint32() + reader.pos)
    if (detail) return detail
  }
  return null
}

function decodeAny(reader: protobuf.Reader, end: number): ErrorDetail | null {
  let url = ''
  let value: Uint8Array | null = null
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === 10) url = reader.string()
    else if (tag === 18) value = reader.bytes()
    else reader.skipType(tag & 7)
  }
  if (url !== TYPE_URL || !value) return null
  const detail = raftctl.v1.ErrorDetail.decode(value)
  const applied = detail.applied === 'yes' || detail.applied === 'no' ? detail.applied : 'unknown'
  return { code: detail.code, leaderHint: detail.leader_hint === '' ? undefined : detail.leader_hint, retryable: detail.retryable, applied }
}
