import type net from 'node:net'

interface Waiting {
  readonly at: number
  readonly chunk: Buffer
}

/** One direction of the connections through a proxy. */
export class Way {
  stopped = false
  private delayMs = 0
  private jitterMs = 0
  private readonly sources = new Set<net.Socket>()

  /** What `from` receives goes to `to`. */
  join(from: net.Socket, to: net.Socket): void {
    this.sources.add(from)
    from.on('close', () => this.sources.delete(from))
    const waiting: Waiting[] = []
    const pass = (): void => {
      const now = performance.now()
      while (waiting.length > 0 && waiting[0]!.at <= now) to.write(waiting.shift()!.chunk)
      if (waiting.length > 0) setTimeout(pass, Math.ceil(waiting[0]!.at - now))
    }
    from.on('data', (chunk: Buffer) => {
      const late = this.delayMs + Math.random() * this.jitterMs
      const last = waiting.at(-1)
      waiting.push({ at: Math.max(last?.at ?? 0, performance.now() + late), chunk })
      if (!last) pass()
    })
    if (this.stopped) from.pause()
  }

  stop(): void {
    this.stopped = true
    for (const source of this.sources) source.pause()
  }

  resume(): void {
    this.stopped = false
    for (const source of this.sources) source.resume()
  }

  delay(ms: number, jitterMs: number): void {
    this.delayMs = ms
    this.jitterMs = jitterMs
  }
}
