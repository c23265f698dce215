import { example } from '../../generated/atomic.js'
import { toBigInt } from '../../rpc/int64.js'

/** What an entry of the log may ask for. `get` changes nothing: only braft writes reads to its log. */
export type Command =
  | { readonly operation: 'get'; readonly id: bigint }
  | { readonly operation: 'exchange'; readonly id: bigint; readonly value: bigint }
  | { readonly operation: 'compare_exchange'; readonly id: bigint; readonly expected: bigint; readonly value: bigint }

/** The byte before the message, as braft writes it. */
const CODES = { get: 1, exchange: 2, compare_exchange: 3 } as const

export function encodeCommand(operation: Command['operation'], request: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(CODES[operation]), request])
}

/** Null for bytes that are no command, which change nothing on any member. */
export function decodeCommand(data: Buffer): Command | null {
  const message = data.subarray(1)
  try {
    switch (data[0]) {
      case CODES.get:
        return { operation: 'get', id: toBigInt(example.GetRequest.decode(message).id) }
      case CODES.exchange: {
        const { id, value } = example.ExchangeRequest.decode(message)
        return { operation: 'exchange', id: toBigInt(id), value: toBigInt(value) }
      }
      case CODES.compare_exchange: {
        const { id, expected_value: expected, new_value: value } = example.CompareExchangeRequest.decode(message)
        return { operation: 'compare_exchange', id: toBigInt(id), expected: toBigInt(expected), value: toBigInt(value) }
      }
    }
  } catch {
    // Not the message that its code promises.
  }
  return null
}
