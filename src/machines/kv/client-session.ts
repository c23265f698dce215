import { randomBytes } from 'node:crypto'
import type { SessionStamp } from './sessions.js'

/**
 * A client's side of a session: gives each write its sequence number and knows which answers it has.
 *
 * Invariant: no second number is given before the first write, which opens the session on the servers, has succeeded.
 */
export class ClientSession {
  readonly clientId = randomBytes(16).toString('hex')
  private next = 1
  /** Ascending: a number is added when it is given and removed when its call ended. */
  private readonly outstanding = new Set<number>()
  private opening: Promise<void> | null = null
  private endOpening: (() => void) | null = null
  /** The opening write failed, or the servers forgot the session. */
  abandoned = false

  /** Null while another call opens the session: wait for `opened` and try again. */
  begin(): number | null {
    if (this.opening !== null) return null
    const sequence = this.next++
    this.outstanding.add(sequence)
    if (sequence === 1) {
      this.opening = new Promise((resolve) => {
        this.endOpening = resolve
      })
    }
    return sequence
  }

  /** The opening call ended, well or not. */
  async opened(): Promise<void> {
    await this.opening
  }

  stamp(sequence: number): SessionStamp {
    const [oldest] = this.outstanding
    return { clientId: this.clientId, sequence, acknowledgedThrough: (oldest ?? sequence) - 1 }
  }

  /** The call ended: it has its answer, or gave up and will not be sent again. */
  end(sequence: number, outcome: 'answered' | 'failed'): void {
    this.outstanding.delete(sequence)
    if (sequence !== 1) return
    if (outcome === 'failed') this.abandoned = true
    this.endOpening?.()
    this.opening = null
  }
}
