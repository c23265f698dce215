import { ErrorCode, Http2Error } from './error.js'

/** So many at once, and so many a second from then on: more than any client needs, and little work. */
const BURST = 2000
const PER_SECOND = 100

/**
 * How often one connection may do what costs this side work and the other nothing: requests that are taken back (CVE-2023-44487),
 * pings, changes of settings, frames for what is over. Throws ENHANCE_YOUR_CALM when that is too often.
 */
export class Patience {
  private left = BURST
  private at = performance.now()

  spend(what: string): void {
    if (this.left < 1) this.refill()
    if (this.left < 1) throw new Http2Error(ErrorCode.ENHANCE_YOUR_CALM, `too many ${what}`)
    this.left--
  }

  private refill(): void {
    const now = performance.now()
    this.left = Math.min(BURST, this.left + ((now - this.at) * PER_SECOND) / 1000)
    this.at = now
  }
}
