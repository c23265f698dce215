import * as format from './format.js'
import type { Output } from './output.js'

/** A copy that is over sooner says nothing on the way. */
const QUIET_MS = 1000
const STEP_PERCENT = 10

/** Says on stderr how far a copy is, a line for every tenth of it. */
export class CopyProgress {
  private readonly startedAt = performance.now()
  private told = 0

  constructor(
    private readonly out: Output,
    private readonly what: string,
  ) {}

  report({ done, total }: { readonly done: number; readonly total: number }): void {
    const percent = Math.floor((done * 100) / Math.max(1, total))
    const elapsedMs = performance.now() - this.startedAt
    if (percent < this.told + STEP_PERCENT || percent >= 100 || elapsedMs < QUIET_MS) return
    this.told = percent - (percent % STEP_PERCENT)
    const leftMs = (elapsedMs * (total - done)) / Math.max(1, done)
    this.out.note(`${this.what}  ${percent}%  ${format.bytes(done)} of ${format.bytes(total)}  ETA ${format.duration(leftMs)}`)
  }
}
