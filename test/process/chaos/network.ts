import { LinkProxy } from '../../support/proxy.js'
import type { TestNode } from '../node-cluster.js'

/** A proxy on the way from each node to each other, for the connections that the first one makes. */
export class ChaosNetwork {
  private readonly links = new Map<TestNode, Map<TestNode, LinkProxy>>()

  static async between(nodes: readonly TestNode[]): Promise<ChaosNetwork> {
    const network = new ChaosNetwork()
    for (const from of nodes) {
      const links = new Map<TestNode, LinkProxy>()
      for (const to of nodes) if (to !== from) links.set(to, await LinkProxy.to({ host: '127.0.0.1', port: to.port }))
      network.links.set(from, links)
    }
    return network
  }

  /** What that node must be told to dial. */
  dialMap(from: TestNode): Record<string, string> {
    return Object.fromEntries([...this.links.get(from)!].map(([to, link]) => [to.peerId, link.address]))
  }

  /** Nothing passes from `from` to `to`, neither what it asks nor what it answers. */
  cutOneWay(from: TestNode, to: TestNode): void {
    this.link(from, to).cut('there')
    this.link(to, from).cut('back')
  }

  /** Nothing passes between the two sides. */
  cut(one: readonly TestNode[], other: readonly TestNode[]): void {
    for (const a of one) {
      for (const b of other) {
        this.cutOneWay(a, b)
        this.cutOneWay(b, a)
      }
    }
  }

  delay(node: TestNode, ms: number, jitterMs: number): void {
    for (const link of this.linksOf(node)) link.delay(ms, jitterMs)
  }

  reset(node: TestNode): void {
    for (const link of this.linksOf(node)) link.reset()
  }

  heal(how: 'reset' | 'resume'): void {
    for (const link of this.all) {
      link.delay(0)
      link.heal(how)
    }
  }

  close(): void {
    for (const link of this.all) link.close()
  }

  private get all(): LinkProxy[] {
    return [...this.links.values()].flatMap((links) => [...links.values()])
  }

  private link(from: TestNode, to: TestNode): LinkProxy {
    return this.links.get(from)!.get(to)!
  }

  private linksOf(node: TestNode): LinkProxy[] {
    return [...this.links].flatMap(([from, links]) => [...links].filter(([to]) => from === node || to === node).map(([, link]) => link))
  }
}
