import type { BenchOptions } from './options.js'

/** YCSB's: the most popular key of a thousand gets an eighth of all accesses. */
const SKEW = 0.99

/** The keys of a benchmark: all of one length, in order, drawn by their distribution. */
export class KeySpace {
  private readonly draw: () => number

  constructor(
    private readonly options: Pick<BenchOptions, 'keys' | 'keyBytes' | 'prefix' | 'distribution'>,
    random: () => number = Math.random,
  ) {
    const { keys, distribution } = options
    this.draw = distribution === 'zipf' ? zipf(keys, random) : () => Math.floor(random() * keys)
  }

  at(index: number): Buffer {
    const { prefix, keyBytes } = this.options
    return Buffer.from(prefix + String(index).padStart(keyBytes - Buffer.byteLength(prefix), '0'))
  }

  next(): Buffer {
    return this.at(this.draw())
  }
}

/** Ranks from 0, the most popular first (Gray et al., "Quickly generating billion-record synthetic databases", 1994). */
function zipf(count: number, random: () => number): () => number {
  let zeta = 0
  for (let i = 1; i <= count; i++) zeta += 1 / i ** SKEW
  const second = 1 + 0.5 ** SKEW
  const alpha = 1 / (1 - SKEW)
  const eta = (1 - (2 / count) ** (1 - SKEW)) / (1 - second / zeta)
  return () => {
    const share = random()
    const scaled = share * zeta
    if (scaled < 1) return 0
    if (scaled < second) return Math.min(1, count - 1)
    return Math.min(count - 1, Math.floor(count * (eta * share - eta + 1) ** alpha))
  }
}
