/** A load of `check perf`: so many durable writes a second, of so many clients at most at a time. */
export interface PerfLoad {
  readonly rate: number
  readonly clients: number
  readonly connections: number
}

/** Clients enough to hold the rate while a write takes 100 ms. A write costs a client 300 µs of its core: the largest leaves some to spare. */
export const PERF_LOADS = {
  s: { rate: 150, clients: 16, connections: 2 },
  m: { rate: 1000, clients: 128, connections: 4 },
  l: { rate: 2500, clients: 256, connections: 8 },
} as const satisfies Readonly<Record<string, PerfLoad>>

export type PerfLoadName = keyof typeof PERF_LOADS
