import type { LookupAddress } from 'node:dns'
import type { Lookup } from '../../src/rpc/dial.js'

/** A resolver that knows what the test tells it; `asked` are the names it was asked for, in order. */
export class Names {
  readonly asked: string[] = []
  private readonly known = new Map<string, readonly string[]>()

  set(name: string, ...addresses: string[]): void {
    this.known.set(name, addresses)
  }

  readonly lookup: Lookup = (name, options, done) => {
    this.asked.push(name)
    const found = this.known.get(name)?.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 }))
    setImmediate(() => {
      if (!found) done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND', syscall: 'getaddrinfo' }), '')
      else if (options.all) done(null, found)
      else done(null, found[0]!.address, found[0]!.family)
    })
  }
}
