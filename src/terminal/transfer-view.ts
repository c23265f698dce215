import * as format from './format.js'
import type { Output } from './output.js'
import { whole } from './wrap.js'

export interface TransferPicture {
  readonly done: boolean
  readonly from: { readonly id: string }
  readonly to: { readonly id: string }
  readonly termBefore: number
  readonly termAfter: number | null
  readonly gapMs: number | null
  readonly pausedMs: number | null
  readonly chosen: { readonly reason: string }
}

/** Before the first write that waited, nothing was to be acknowledged: the gap then tells how long the cluster was idle. */
const IDLE_MS = 1000

export function printTransfer(out: Output, { from, to, termBefore, termAfter, gapMs, pausedMs, chosen }: TransferPicture): void {
  if (from.id === to.id) return out.line(`${to.id} leads already  term ${termBefore}`)
  const idle = gapMs === null || pausedMs === null || gapMs - pausedMs > IDLE_MS
  const pause = pausedMs === null ? '' : `writes paused ${format.duration(pausedMs)} (none was under way)`
  const gap = idle ? pause : `gap ${format.duration(gapMs)}`
  const parts = [`${from.id} → ${to.id}`, `term ${termBefore} → ${termAfter ?? '?'}`, gap, `chosen: ${chosen.reason}`]
  out.prose(
    parts
      .filter((part) => part !== '')
      .map(whole)
      .join('  '),
  )
}
