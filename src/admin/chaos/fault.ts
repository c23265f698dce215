import type { raftctl } from '../../generated/raftctl.js'
import { CliError } from '../../terminal/errors.js'

/** A member as faults name it: its name, or its address where it has none. */
export type Who = string

/** Something that can be broken, with the members it concerns. */
export type ChaosFault =
  | { readonly kind: 'kill'; readonly node: Who }
  | { readonly kind: 'pause'; readonly node: Who }
  /** Members of different groups do not reach each other; who is in no group reaches everyone. */
  | { readonly kind: 'partition'; readonly groups: readonly (readonly Who[])[]; readonly oneWay: boolean }
  /** Whatever the member sends is late. */
  | { readonly kind: 'delay'; readonly node: Who; readonly delayMs: number; readonly jitterMs: number }
  /** So many of a hundred messages that the member sends are lost; null: of every member. */
  | { readonly kind: 'drop'; readonly node: Who | null; readonly percent: number }
  | { readonly kind: 'skew'; readonly node: Who; readonly aheadMs: number; readonly rate: number }
  | { readonly kind: 'disk-full'; readonly node: Who; readonly freeBytes: number }
  | { readonly kind: 'slow-disk'; readonly node: Who; readonly delayMs: number; readonly jitterMs: number }

export type ChaosKind = ChaosFault['kind']

/** A process is killed or frozen from outside; everything else the node does to itself. */
export type ProcessFault = Extract<ChaosFault, { kind: 'kill' | 'pause' }>

export function isProcessFault(fault: ChaosFault): fault is ProcessFault {
  return fault.kind === 'kill' || fault.kind === 'pause'
}

type FaultMessage = Omit<raftctl.v1.Fault.$Properties, 'id' | 'ttl_ms'>

/** A member of the cluster that a fault may concern. */
export interface Target {
  readonly id: Who
  readonly address: string
}

/** What each member must do to itself, by address. */
export function effectsOf(fault: Exclude<ChaosFault, ProcessFault>, members: readonly Target[]): Map<string, FaultMessage[]> {
  const effects = new Map<string, FaultMessage[]>()
  const add = (who: Who, message: FaultMessage) => {
    const { address } = targetOf(who, members)
    effects.set(address, [...(effects.get(address) ?? []), message])
  }
  switch (fault.kind) {
    case 'partition':
      for (const [who, message] of cutsOf(fault, members)) add(who, message)
      break
    case 'delay':
      add(fault.node, { peers: [], delay: { delay_ms: fault.delayMs, jitter_ms: fault.jitterMs } })
      break
    case 'drop':
      for (const who of fault.node === null ? members.map(({ id }) => id) : [fault.node])
        add(who, { peers: [], drop: { percent: fault.percent } })
      break
    case 'skew':
      add(fault.node, { skew: { ahead_ms: fault.aheadMs, rate: fault.rate } })
      break
    case 'disk-full':
      add(fault.node, { disk_full: { free_bytes: fault.freeBytes } })
      break
    case 'slow-disk':
      add(fault.node, { slow_disk: { delay_ms: fault.delayMs, jitter_ms: fault.jitterMs } })
      break
  }
  return effects
}

/** Both ends cut: a node that is started anew meanwhile has forgotten its faults, the others have not. */
function cutsOf({ groups, oneWay }: Extract<ChaosFault, { kind: 'partition' }>, members: readonly Target[]): [Who, FaultMessage][] {
  const addresses = (group: readonly Who[]) => group.map((who) => targetOf(who, members).address)
  return groups.flatMap((group, at) => {
    const others = groups.filter((_, other) => other !== at).flatMap(addresses)
    const direction = oneWay ? (at === 0 ? 'out' : 'in') : 'both'
    return group.map((who): [Who, FaultMessage] => [who, { peers: others, cut: { direction } }])
  })
}

/** Throws E_NO_SUCH_NODE. */
export function targetOf(who: Who, members: readonly Target[]): Target {
  const found = members.find(({ id, address }) => id === who || address === who)
  if (found) return found
  throw new CliError('E_NO_SUCH_NODE', `no member is called ${JSON.stringify(who)}`, {
    hint: `members: ${members.map(({ id }) => id).join(', ')}`,
    details: { node: who, nodes: members.map(({ id }) => id) },
  })
}
