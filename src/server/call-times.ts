import { Durations } from '../raft/durations.js'
import type { Series } from './histogram.js'

export const CALL_BOUNDS_MS: readonly number[] = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000, 5000]

/** The calls that a node answered: how many and how long they took, by method and gRPC status. */
export class CallTimes {
  private readonly methods = new Map<string, Map<number, Durations>>()

  add(path: string, code: number, tookMs: number): void {
    let codes = this.methods.get(path)
    if (!codes) this.methods.set(path, (codes = new Map()))
    let durations = codes.get(code)
    if (!durations) codes.set(code, (durations = new Durations(CALL_BOUNDS_MS)))
    durations.add(tookMs)
  }

  *series(): Iterable<Series> {
    for (const [path, codes] of this.methods)
      for (const [code, counted] of codes) yield { labels: { method: path.slice(1), code: String(code) }, counted }
  }
}
