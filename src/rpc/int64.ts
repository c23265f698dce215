import protobuf from 'protobufjs/minimal.js'
import type { example } from '../generated/braft.js'

/** A 64-bit field of a message: protobufjs reads it as a Long, and encodes a bigint as 0. */
export type Int64 = example.Snapshot['value']

export function toBigInt(value: Int64): bigint {
  return typeof value === 'number' ? BigInt(value) : value.toBigInt()
}

/** Numbers beyond 64 bits wrap around, as they do in C++. */
export function toInt64(value: bigint): Int64 {
  const low = Number(BigInt.asUintN(32, value))
  const high = Number(BigInt.asUintN(32, value >> 32n))
  return new protobuf.util.LongBits(low, high).toLong() as unknown as Int64
}
