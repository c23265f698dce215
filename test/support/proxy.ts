import net from 'node:net'

/**
 * A TCP proxy between two nodes, put there by a node's dial map. While it is cut nothing passes in either direction and
 * nobody is told: as on a network that loses every packet.
 */
export class LinkProxy {
  private readonly sockets = new Set<net.Socket>()
  private readonly server = net.createServer((socket) => this.accept(socket))
  private cutOff = false

  private constructor(private readonly target: { readonly host: string; readonly port: number }) {}

  static async to(target: { host: string; port: number }): Promise<LinkProxy> {
    const proxy = new LinkProxy(target)
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as net.AddressInfo).port}`
  }

  cut(): void {
    this.cutOff = true
    for (const socket of this.sockets) socket.pause()
  }

  /** Connections that lost bytes are reset; new ones pass. */
  heal(): void {
    this.cutOff = false
    for (const socket of this.sockets) socket.destroy()
  }

  close(): void {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  private accept(near: net.Socket): void {
    this.keep(near)
    if (this.cutOff) {
      near.pause()
      return
    }
    const far = net.connect({ ...this.target, noDelay: true })
    this.keep(far)
    near.on('data', (chunk) => far.write(chunk))
    far.on('data', (chunk) => near.write(chunk))
    near.on('close', () => this.cutOff || far.destroy())
    far.on('close', () => this.cutOff || near.destroy())
  }

  private keep(socket: net.Socket): void {
    this.sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('close', () => this.sockets.delete(socket))
  }
}
