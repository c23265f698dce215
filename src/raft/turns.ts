import type { PeerId } from './peer-id.js'

/**
 * Of two members that could both be elected in the next term, whether `one` goes before `other`. Every member finds the same. The order
 * is another in every group and term: nobody comes first everywhere, and nobody who cannot win comes first for good.
 */
export function goesBefore(group: string, term: number, one: PeerId, other: PeerId): boolean {
  const [a, b] = [rankOf(group, term, one), rankOf(group, term, other)]
  return a < b || (a === b && one.key < other.key)
}

/** FNV-1a with a last mix, so that addresses that differ by one digit fall anywhere. */
function rankOf(group: string, term: number, { key }: PeerId): number {
  let hash = 0x811c9dc5
  for (const text of [group, key]) for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ term, 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
