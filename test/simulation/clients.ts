import type { SimCluster } from './cluster.js'
import type { Act } from './decisions.js'
import { KvClients } from './kv-clients.js'
import type { World } from './swarm-plan.js'

type Call = Extract<Act, { kind: 'write' | 'read' }>

/** Does what clients decided to ask for. */
export class Clients {
  private readonly keyValue: KvClients | null

  constructor(
    private readonly cluster: SimCluster,
    { keyValue, keys }: World,
  ) {
    this.keyValue = keyValue ? new KvClients(cluster, keys) : null
  }

  /** False when nobody was there to be asked. */
  perform(call: Call): boolean {
    const { cluster, keyValue } = this
    const { who, key } = call
    const member = cluster.find(who)
    if (!member?.isUp || member.process!.stopping) return false
    const timeoutMs = cluster.electionTimeoutMs * 2
    if (call.kind === 'read') keyValue ? keyValue.read(member, key, timeoutMs) : cluster.read(member, key, timeoutMs)
    else {
      if (keyValue) keyValue.write(member, key, call.sequence ?? 1)
      else cluster.write(member, key, { payload: call.bytes ?? 0 })
    }
    return true
  }

  /** They are done: what never had an effect is known now. */
  conclude(): void {
    this.keyValue?.conclude()
  }
}
