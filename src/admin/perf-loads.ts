/** A load of `check perf`: so many durable writes a second, of so many clients at most at a time. */
export interface PerfLoad {
  readonly rate: number
  readonly clients: number
  readonly connections: number
}

/** Clients enough to hold the rate while a write takes 85 ms and more; the largest is what one process of a client can send. */
export const PERF_LOADS = {
  s: { rate: 150, clients: 16, connections: 2 },
  m: { rate: 1000, clients: 128, connections: 4 },
  l: { rate: 3000, clients: 256, connections: 8 },
} as const satisfies Readonly<Record<string, PerfLoad>>

export type PerfLoadName = keyof typeof PERF_LOADS
