import type { KvConsistency } from '../../machines/kv/client.js'
import { CliError } from '../../terminal/errors.js'

export type Workload = 'put' | 'get' | 'mixed' | 'fill'
export type Distribution = 'uniform' | 'zipf'

/** What is sent, how much of it at a time, and for how long. */
export interface BenchOptions {
  readonly workload: Workload
  /** Operations are begun for so long; null: until `operations` are. */
  readonly durationMs: number | null
  readonly operations: number | null
  /** Operations per second that are due whatever the answers do (open loop); null: each client sends when it was answered. */
  readonly rate: number | null
  /** Operations in flight at most. */
  readonly clients: number
  readonly connections: number
  /** Connections to every member, rather than to the leader. */
  readonly spread: boolean
  readonly keys: number
  readonly keyBytes: number
  readonly valueBytes: number
  readonly distribution: Distribution
  readonly read: KvConsistency
  /** Of all operations, from 0 to 1; of `mixed` alone. */
  readonly readShare: number
  /** Not measured, before what is. */
  readonly warmupMs: number
  /** What every key begins with. */
  readonly prefix: string
  /** The keys stay. */
  readonly keep: boolean
}

const CLIENTS_MAX = 10_000
const KEYS_MAX = 10_000_000
const VALUE_BYTES_MAX = 1_500_000
/** Digits enough for any number of keys. */
const DIGITS = 9

/** Throws E_USAGE for what cannot be run. */
export function checkBench(options: BenchOptions): void {
  const refuse = (message: string, hint: string): void => {
    throw new CliError('E_USAGE', message, { hint })
  }
  const { clients, durationMs, operations, keys, keyBytes, valueBytes, prefix, rate } = options
  if (durationMs !== null && operations !== null) refuse('--duration and --ops were both given', 'Give one of them.')
  if (durationMs !== null && durationMs <= 0) refuse('--duration must be more than nothing', 'Write --duration 10s.')
  if (rate !== null && rate <= 0) refuse('--rate must be above 0', 'Leave it out to send as fast as answers come.')
  if (prefix === '')
    refuse("--prefix is empty: every key of the group would be the bench's, and removed", 'Leave it out, or write --prefix bench/.')
  if (clients > CLIENTS_MAX) refuse(`${clients} clients`, `Give --clients at most ${CLIENTS_MAX}.`)
  if (keys > KEYS_MAX) refuse(`${keys} keys`, `Give --keys at most ${KEYS_MAX}.`)
  if (valueBytes > VALUE_BYTES_MAX)
    refuse(`values of ${valueBytes} bytes`, 'Give --value-size at most 1500KB: that is what an entry holds.')
  const least = Buffer.byteLength(prefix) + DIGITS
  if (keyBytes < least) refuse(`keys of ${keyBytes} bytes have no room for ${JSON.stringify(prefix)}`, `Give --key-size ${least} or more.`)
}
