/** Something that takes so much room. */
export interface Placeable {
  readonly size: number
}

/** More candidates than this are not searched: half of them make a table of 2^20 sums. */
const CANDIDATES_MAX = 40

/**
 * Some of `items` whose sizes make exactly `size`, or null when there are none or too many items to tell. Sums of one half are
 * looked up for each sum of the other.
 */
export function subsetOfSize<T extends Placeable>(items: readonly T[], size: number): T[] | null {
  if (items.length > CANDIDATES_MAX) return null
  const half = items.length >> 1
  const [left, right] = [items.slice(0, half), items.slice(half)]
  const seen = new Map<number, number>()
  const leftSums = sumsOf(left)
  for (let mask = 0; mask < leftSums.length; mask++) if (!seen.has(leftSums[mask]!)) seen.set(leftSums[mask]!, mask)
  const rightSums = sumsOf(right)
  for (let mask = 0; mask < rightSums.length; mask++) {
    const rest = seen.get(size - rightSums[mask]!)
    if (rest !== undefined) return [...chosen(left, rest), ...chosen(right, mask)]
  }
  return null
}

/** The sum of each subset, by the bits of its number. */
function sumsOf(items: readonly Placeable[]): Float64Array {
  const sums = new Float64Array(2 ** items.length)
  for (let mask = 1; mask < sums.length; mask++) {
    const lowest = 31 - Math.clz32(mask & -mask)
    sums[mask] = sums[mask & (mask - 1)]! + items[lowest]!.size
  }
  return sums
}

function chosen<T>(items: readonly T[], mask: number): T[] {
  return items.filter((_, at) => (mask >> at) & 1)
}
