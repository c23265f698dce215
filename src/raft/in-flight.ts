import type { LogIndex } from './types.js'

const BYTES_MAX = 4 * 1024 * 1024
const REQUESTS_MAX = 16

/** A request without entries; what of `committed` its receiver takes over depends on where it points. */
export interface Beat {
  readonly seq: number
  readonly sentAt: number
  /** The newest confirmation round (read-index.ts) then. */
  readonly round: number
  readonly committed: LogIndex
}

/** A request with entries. */
export interface Sent extends Beat {
  readonly first: LogIndex
  readonly last: LogIndex
  readonly bytes: number
}

/** The requests with entries that were sent to a peer and not answered, oldest first, bounded by count and bytes. */
export class InFlight {
  private readonly requests: Sent[] = []
  bytes = 0

  get count(): number {
    return this.requests.length
  }

  get oldest(): Sent | null {
    return this.requests[0] ?? null
  }

  get hasRoom(): boolean {
    return this.requests.length < REQUESTS_MAX && this.bytes < BYTES_MAX
  }

  push(sent: Sent): void {
    this.requests.push(sent)
    this.bytes += sent.bytes
  }

  /** The oldest was answered. */
  shift(): void {
    this.bytes -= this.requests.shift()!.bytes
  }

  clear(): void {
    this.requests.length = 0
    this.bytes = 0
  }
}

/** The requests without entries that were sent to a peer and not answered, oldest first. */
export class BeatsInFlight {
  private readonly beats: Beat[] = []

  get count(): number {
    return this.beats.length
  }

  get oldest(): Beat | null {
    return this.beats[0] ?? null
  }

  push(beat: Beat): void {
    this.beats.push(beat)
  }

  /** Null when `seq` is none of them. Answers come in order, or nearly so. */
  get(seq: number): Beat | null {
    for (const beat of this.beats) if (beat.seq >= seq) return beat.seq === seq ? beat : null
    return null
  }

  /** It was answered. Nothing when it is none of them any more. */
  remove(beat: Beat): void {
    const at = this.beats.indexOf(beat)
    if (at === 0) this.beats.shift()
    else if (at > 0) this.beats.splice(at, 1)
  }

  clear(): void {
    this.beats.length = 0
  }
}
