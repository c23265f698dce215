import type { SimCluster } from './cluster.js'
import type { Act } from './decisions.js'
import { encodePut } from './kv-machine.js'
import type { World } from './swarm-plan.js'

type Call = Extract<Act, { kind: 'write' | 'read' }>

/** Does what clients decided to ask for. */
export class Clients {
  constructor(
    private readonly cluster: SimCluster,
    private readonly world: World,
  ) {}

  /** False when nobody was there to be asked. */
  perform(call: Call): boolean {
    const { cluster } = this
    const member = cluster.find(call.who)
    if (!member?.isUp || member.process!.stopping) return false
    if (call.kind === 'read') cluster.read(member, call.key, cluster.electionTimeoutMs * 2)
    else cluster.write(member, call.key, { payload: this.payload(call.sequence ?? 1, call.bytes ?? 0) })
    return true
  }

  private payload(sequence: number, bytes: number): number | Buffer {
    if (!this.world.keyValue) return bytes
    return encodePut({ clientId: 'client', sequence, key: `k${sequence % this.world.keys}`, value: `${sequence}` })
  }
}
