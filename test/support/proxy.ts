import net from 'node:net'
import { Way } from './proxy-way.js'

/** From the one that dials to the one that is dialled, back, or both. */
export type Direction = 'there' | 'back' | 'both'

interface Pair {
  readonly near: net.Socket
  readonly far: net.Socket
}

/**
 * A TCP proxy between two nodes, put there by a node's dial map. A direction that is cut lets nothing pass and nobody is
 * told: as on a network that loses every packet. One that is slow passes everything late, in order.
 */
export class LinkProxy {
  private readonly pairs = new Set<Pair>()
  /** Accepted while it was cut: nobody answers them. */
  private readonly orphans = new Set<net.Socket>()
  private readonly server = net.createServer((socket) => this.accept(socket))
  private readonly there = new Way()
  private readonly back = new Way()

  private constructor(private readonly target: { readonly host: string; readonly port: number }) {}

  static async to(target: { host: string; port: number }): Promise<LinkProxy> {
    const proxy = new LinkProxy(target)
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as net.AddressInfo).port}`
  }

  cut(direction: Direction = 'both'): void {
    for (const way of this.ways(direction)) way.stop()
  }

  /** `reset`: connections that lost bytes end. `resume`: what was sent meanwhile arrives, late. */
  heal(how: 'reset' | 'resume' = 'reset'): void {
    this.dropOrphans()
    if (how === 'reset') this.reset()
    for (const way of [this.there, this.back]) way.resume()
    for (const { near, far } of this.pairs) if (near.destroyed || far.destroyed) this.end({ near, far })
  }

  /** Everything that passes waits so long, give or take; 0: nothing does. */
  delay(ms: number, jitterMs = 0): void {
    for (const way of [this.there, this.back]) way.delay(ms, jitterMs)
  }

  /** Ends all connections; new ones pass as ever. */
  reset(): void {
    for (const pair of [...this.pairs]) this.end(pair)
  }

  close(): void {
    this.server.close()
    this.dropOrphans()
    this.reset()
  }

  private get isCut(): boolean {
    return this.there.stopped || this.back.stopped
  }

  private ways(direction: Direction): Way[] {
    return direction === 'both' ? [this.there, this.back] : [this[direction]]
  }

  private accept(near: net.Socket): void {
    near.setNoDelay(true)
    near.on('error', () => {})
    if (this.isCut) {
      near.pause()
      this.orphans.add(near)
      near.on('close', () => this.orphans.delete(near))
      return
    }
    const far = net.connect({ ...this.target, noDelay: true })
    far.on('error', () => {})
    const pair = { near, far }
    this.pairs.add(pair)
    this.there.join(near, far)
    this.back.join(far, near)
    for (const socket of [near, far]) socket.on('close', () => this.isCut || this.end(pair))
  }

  private end(pair: Pair): void {
    pair.near.destroy()
    pair.far.destroy()
    for (const known of this.pairs) if (known.near === pair.near) this.pairs.delete(known)
  }

  private dropOrphans(): void {
    for (const socket of this.orphans) socket.destroy()
  }
}
