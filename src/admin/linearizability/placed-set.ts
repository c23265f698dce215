/** Which of a key's operations are placed, with a hash that costs the same however many they are. */
export class PlacedSet {
  private readonly words: Uint32Array
  hash = 0

  constructor(size: number) {
    this.words = new Uint32Array((size + 31) >>> 5)
  }

  has(at: number): boolean {
    return ((this.words[at >>> 5]! >>> (at & 31)) & 1) === 1
  }

  /** Places what is not, takes back what is. */
  flip(at: number): void {
    this.words[at >>> 5]! ^= 1 << (at & 31)
    this.hash ^= mixed(at)
  }

  copy(): Uint32Array {
    return this.words.slice()
  }

  equals(words: Uint32Array): boolean {
    for (let i = 0; i < words.length; i++) if (this.words[i] !== words[i]) return false
    return true
  }
}

/** Every bit of the result hangs on every bit of `at`. */
function mixed(at: number): number {
  let hash = Math.imul(at + 1, 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
