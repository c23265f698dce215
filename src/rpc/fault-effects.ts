/** No fault stays longer than this, whatever was asked for. */
export const LONGEST_FAULT_MS = 3_600_000

/** What a fault does to what this node sends to its peers; without peers it is all of them. */
export type LinkEffect =
  /** `out`: nothing reaches them; `in`: nothing of theirs is heard. Names its peers always. */
  | { readonly kind: 'cut'; readonly peers: ReadonlySet<string>; readonly direction: 'in' | 'out' | 'both' }
  /** Every message waits `delayMs`, give or take up to `jitterMs`. */
  | { readonly kind: 'delay'; readonly peers: ReadonlySet<string>; readonly delayMs: number; readonly jitterMs: number }
  /** So many of a hundred messages are lost; a stream that loses one breaks, for it promises their order. */
  | { readonly kind: 'drop'; readonly peers: ReadonlySet<string>; readonly percent: number }

export type FaultEffect =
  | LinkEffect
  /** The clock jumps ahead at once and then goes `rate` times as fast as others. */
  | { readonly kind: 'skew'; readonly aheadMs: number; readonly rate: number }
  /** So much space is left on the disk; writes use it up. */
  | { readonly kind: 'disk-full'; freeBytes: number }
  /** Every operation that changes the disk takes this much longer. */
  | { readonly kind: 'slow-disk'; readonly delayMs: number; readonly jitterMs: number }

export type FaultKind = FaultEffect['kind']

/** A fault that has not ended. */
export interface FaultRecord {
  readonly id: string
  readonly effect: FaultEffect
  /** Until it heals by itself. */
  readonly leftMs: number
}

export function isLinkEffect(effect: FaultEffect): effect is LinkEffect {
  return effect.kind === 'cut' || effect.kind === 'delay' || effect.kind === 'drop'
}

/** What all faults together do to the disk. */
export interface DiskFault {
  /** What is left for writes; null: as much as there is. */
  readonly freeBytes: number | null
  /** How much longer the next change takes. */
  delayMs(): number
  /** Uses up space; false when there is too little. */
  take(bytes: number): boolean
}

/** Null when no effect concerns the disk. */
export function diskFault(effects: readonly FaultEffect[], random: () => number): DiskFault | null {
  const full = effects.flatMap((effect) => (effect.kind === 'disk-full' ? [effect] : []))
  const slow = effects.flatMap((effect) => (effect.kind === 'slow-disk' ? [effect] : []))
  if (full.length === 0 && slow.length === 0) return null
  return {
    get freeBytes() {
      return full.length === 0 ? null : Math.min(...full.map((one) => one.freeBytes))
    },
    delayMs: () => slow.reduce((sum, one) => sum + Math.max(0, one.delayMs + (2 * random() - 1) * one.jitterMs), 0),
    take: (bytes) => {
      if (full.some((one) => one.freeBytes < bytes)) return false
      for (const one of full) one.freeBytes -= bytes
      return true
    },
  }
}
