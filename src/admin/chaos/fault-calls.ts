import type { raftctl } from '../../generated/raftctl.js'
import { fromInt64 } from '../../raft/types.js'
import type { Connection } from '../../terminal/connection.js'
import { CliError } from '../../terminal/errors.js'
import { ControlCalls } from '../engines/control-calls.js'
import { type ChaosFault, effectsOf, type ProcessFault, type Target } from './fault.js'
import { msText, sizeText } from './fault-text.js'

/** A fault that a node says it suffers from. */
export interface ListedFault {
  readonly node: string
  /** The same at every node that was broken together with this one. */
  readonly id: string
  readonly kind: string
  /** `cut off from n2, n3`. */
  readonly text: string
  /** Until it heals by itself. */
  readonly leftMs: number
}

const ASK_MS = 2000
const HOW_TO_ENABLE = {
  local: (name: string) =>
    `Start it so that it may be broken:  raftctl cluster stop ${name} && raftctl cluster start --name ${name} --enable-faults`,
  elsewhere: 'Start its nodes with --enable-faults, if the cluster may be broken.',
}

/** Faults of the nodes themselves, set and healed over the network. Owns its channels; dispose of it. */
export class FaultCalls implements Disposable {
  private readonly calls: ControlCalls

  constructor(private readonly connection: Connection) {
    this.calls = new ControlCalls({ ...connection, timeoutMs: ASK_MS, connectTimeoutMs: Math.min(ASK_MS, connection.connectTimeoutMs) })
  }

  [Symbol.dispose](): void {
    this.calls[Symbol.dispose]()
  }

  /**
   * Breaks what the fault says, for `forMs` by the clocks of the nodes: they heal by themselves. Answers the addresses that
   * took it. A member of a partition that does not answer is left out; any other failure heals what was broken and throws.
   */
  async set(id: string, fault: Exclude<ChaosFault, ProcessFault>, { members, forMs }: { members: readonly Target[]; forMs: number }) {
    const effects = [...effectsOf(fault, members)]
    const outcomes = await Promise.allSettled(
      effects.map(([address, messages]) =>
        this.change(address, { add: messages.map((message, at) => ({ ...message, id: at === 0 ? id : `${id}.${at}`, ttl_ms: forMs })) }),
      ),
    )
    const taken = effects.filter((_, at) => outcomes[at]!.status === 'fulfilled').map(([address]) => address)
    const failures = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason as CliError] : []))
    const grave =
      failures.find((one) => fault.kind !== 'partition' || one.code !== 'E_UNREACHABLE') ?? (taken.length === 0 ? failures[0] : null)
    if (!grave) return taken
    await this.heal(id, taken)
    throw this.explained(grave)
  }

  /** Heals the fault at once where it was set; answers who could not be asked and so heals by itself. */
  async heal(id: string, addresses: readonly string[]): Promise<string[]> {
    return this.everywhere(addresses, { remove: [id] })
  }

  /** Heals everything at these nodes. */
  async healAll(addresses: readonly string[]): Promise<string[]> {
    return this.everywhere(addresses, { heal: true })
  }

  /** What each node that answers suffers from, and who did not answer. */
  async list(members: readonly Target[]): Promise<{ readonly faults: ListedFault[]; readonly silent: Target[] }> {
    const answers = await Promise.all(
      members.map(async (member) => {
        try {
          const answer = await this.calls.read(member.address, (client, options) => client.call('GetFaults', {}, options))
          return { member, faults: listed(answer, member, members) }
        } catch (thrown) {
          if (!(thrown instanceof CliError)) throw thrown
          return { member, faults: null }
        }
      }),
    )
    return {
      faults: answers.flatMap(({ faults }) => faults ?? []),
      silent: answers.filter(({ faults }) => faults === null).map(({ member }) => member),
    }
  }

  private async everywhere(addresses: readonly string[], request: raftctl.v1.SetFaultsRequest.$Properties): Promise<string[]> {
    const outcomes = await Promise.allSettled(addresses.map((address) => this.change(address, request)))
    return addresses.filter((_, at) => outcomes[at]!.status === 'rejected')
  }

  private change(address: string, request: raftctl.v1.SetFaultsRequest.$Properties) {
    return this.calls.write(address, (client, options) => client.call('SetFaults', request, options), { check: 'raftctl chaos list' })
  }

  private explained(error: CliError): CliError {
    if (error.code !== 'E_FAULTS_DISABLED') return error
    const { context } = this.connection
    const hint = context?.playground ? HOW_TO_ENABLE.local(context.name) : HOW_TO_ENABLE.elsewhere
    return new CliError(error.code, error.message, { hint, details: error.details })
  }
}

function listed(answer: raftctl.v1.FaultsResponse, member: Target, members: readonly Target[]): ListedFault[] {
  const nameOf = (address: string) => members.find((one) => one.address === address)?.id ?? address
  const names = (addresses: readonly string[]) => (addresses.length === 0 ? 'everybody' : addresses.map(nameOf).join(', '))
  const named = (answer.faults ?? []).map((fault) => {
    const { kind, text } = described(fault, names(fault.peers ?? []))
    return { node: member.id, id: fault.id ?? '', kind, text, leftMs: fromInt64(fault.ttl_ms) }
  })
  const byHand = (answer.partition ?? []).map((address) => ({ kind: 'cut', text: `cut off from ${nameOf(address)}` }))
  return [...named, ...byHand.map((fault) => ({ ...fault, node: member.id, id: '', leftMs: 0 }))]
}

function described(fault: raftctl.v1.Fault.$Properties, peers: string): { readonly kind: string; readonly text: string } {
  const { cut, delay, drop, skew, disk_full: diskFull, slow_disk: slowDisk } = fault
  const give = (jitterMs: number | null | undefined) => (jitterMs ? ` ± ${msText(jitterMs)}` : '')
  if (cut) {
    const words = { in: `hears nothing from ${peers}`, out: `cannot reach ${peers}`, both: `cut off from ${peers}` }
    return { kind: 'cut', text: words[cut.direction as keyof typeof words] ?? '' }
  }
  if (delay) return { kind: 'delay', text: `sends to ${peers} ${msText(delay.delay_ms ?? 0)}${give(delay.jitter_ms)} late` }
  if (drop) return { kind: 'drop', text: `loses ${drop.percent} % of what it sends to ${peers}` }
  if (skew)
    return { kind: 'skew', text: `clock ${msText(skew.ahead_ms ?? 0)} ahead${skew.rate === 1 ? '' : `, ${skew.rate} times as fast`}` }
  if (diskFull) return { kind: 'disk-full', text: `disk full but for ${sizeText(fromInt64(diskFull.free_bytes))}` }
  if (slowDisk) return { kind: 'slow-disk', text: `disk slower by ${msText(slowDisk.delay_ms ?? 0)}${give(slowDisk.jitter_ms)}` }
  return { kind: 'unknown', text: 'a fault of a newer version' }
}
