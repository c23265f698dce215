import { createHash, randomBytes } from 'node:crypto'
import type { Random } from '../raft/environment.js'

/**
 * xoshiro128** seeded from the system's randomness: timeouts and jitter need to be unpredictable between processes,
 * not secret. `hex` draws identities and takes them from the system directly.
 */
export class ProductionRandom implements Random {
  private readonly state: Uint32Array

  constructor(seed: Uint8Array = randomBytes(16)) {
    const bytes = Buffer.from(seed)
    this.state = Uint32Array.from([0, 4, 8, 12], (at) => bytes.readUInt32LE(at))
    // The all-zero state is the one that never moves.
    if (this.state.every((word) => word === 0)) this.state[0] = 1
  }

  u32(): number {
    const s = this.state
    const result = Math.imul(rotate(Math.imul(s[1]!, 5), 7), 9) >>> 0
    const shifted = s[1]! << 9
    s[2]! ^= s[0]!
    s[3]! ^= s[1]!
    s[1]! ^= s[2]!
    s[0]! ^= s[3]!
    s[2]! ^= shifted
    s[3] = rotate(s[3]!, 11)
    return result
  }

  below(n: number): number {
    return Math.floor(this.unit() * n)
  }

  unit(): number {
    return (this.u32() * 0x20_0000 + (this.u32() >>> 11)) / 0x20_0000_0000_0000
  }

  chance(p: number): boolean {
    return this.unit() < p
  }

  hex(bytes: number): string {
    return randomBytes(bytes).toString('hex')
  }

  fork(label: string): Random {
    const seed = createHash('sha256').update(randomBytes(16)).update(label).digest()
    return new ProductionRandom(seed.subarray(0, 16))
  }
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}
