import type { Random } from '../raft/environment.js'

/** Hash of a text, for deriving streams and for traces (FNV-1a, 32 bits). */
export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/**
 * The only source of chance in a simulation: xoshiro128** seeded through splitmix32.
 * A fork depends on this stream's seed and the label alone, never on how much was drawn: a new draw in one component
 * does not shift another's.
 */
export class SimRandom implements Random {
  private a: number
  private b: number
  private c: number
  private d: number

  constructor(private readonly seed: number) {
    let state = seed >>> 0
    const next = (): number => {
      state = (state + 0x9e3779b9) >>> 0
      let z = state
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
      return (z ^ (z >>> 16)) >>> 0
    }
    this.a = next()
    this.b = next()
    this.c = next()
    this.d = next() | 1
  }

  u32(): number {
    const mixed = Math.imul(this.b, 5)
    const result = Math.imul((mixed << 7) | (mixed >>> 25), 9) >>> 0
    const shifted = this.b << 9
    this.c ^= this.a
    this.d ^= this.b
    this.b ^= this.c
    this.a ^= this.d
    this.c ^= shifted
    this.d = (this.d << 11) | (this.d >>> 21)
    return result
  }

  below(n: number): number {
    return Math.floor(this.unit() * n)
  }

  unit(): number {
    return this.u32() / 0x1_0000_0000
  }

  /** True with that probability, 0 to 1. */
  chance(p: number): boolean {
    return this.unit() < p
  }

  hex(bytes: number): string {
    let text = ''
    for (let i = 0; i < bytes; i++) text += (this.u32() & 0xff).toString(16).padStart(2, '0')
    return text
  }

  fork(label: string): SimRandom {
    return new SimRandom((Math.imul(this.seed ^ 0x5bd1e995, 0x01000193) ^ hashText(label)) >>> 0)
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + this.unit() * (high - low)
  }

  /** Uniform integer in [low, high]. */
  integer(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** Exponentially distributed with that mean. */
  exponential(mean: number): number {
    return -Math.log(1 - this.unit()) * mean
  }

  /** One of them, each as likely as any other. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }

  /** The same items in another order. */
  shuffle<T>(items: readonly T[]): T[] {
    const result = [...items]
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const kept = result[i]!
      result[i] = result[j]!
      result[j] = kept
    }
    return result
  }
}
