/** Lets messages through late, as a fault says, and keeps their order, also across a change of the delay. */
export class DelayedLink {
  private last: Promise<void> | null = null

  /** Runs `send` after `delayMs` and after whatever came before it; at once where nothing holds it back. */
  pass(delayMs: number, send: () => void): void {
    if (delayMs <= 0 && this.last === null) return send()
    const due = new Promise<void>((resolve) => setTimeout(resolve, delayMs))
    const sent = Promise.all([this.last, due]).then(() => {
      if (this.last === sent) this.last = null
      send()
    })
    this.last = sent
  }
}
