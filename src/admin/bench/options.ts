import type { Consistency } from '../../machines/kv/client.js'
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
  readonly read: Consistency
  /** Of all operations, from 0 to 1; of `mixed` alone. */
  readonly readShare: number
  /** Not measured, before what is. */
  readonly warmupMs: number
  /** What every key begins with. */
  readonly prefix: string
  /** The keys stay. */
  readonly keep: boolean
}

/** Digits enough for any number of keys. */
const DIGITS = 9

/** Throws E_USAGE for what cannot be run. */
export function checkBench(options: BenchOptions): void {
  const refuse = (message: string, hint: string) => {
    throw new CliError('E_USAGE', message, { hint })
  }
  const { durationMs, operations, keyBytes, prefix, rate } = options
  if (durationMs !== null && operations !== null) refuse('--duration and --ops were both given', 'Give one of them.')
  if (durationMs !== null && durationMs <= 0) refuse('--duration must be more than nothing', 'Write --duration 10s.')
  if (rate !== null && rate <= 0) refuse('--rate must be above 0', 'Leave it out to send as fast as answers come.')
  const least = Buffer.byteLength(prefix) + DIGITS
  if (keyBytes < least) refuse(`keys of ${keyBytes} bytes have no room for ${JSON.stringify(prefix)}`, `Give --key-size ${least} or more.`)
}
