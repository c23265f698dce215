import { PeerId } from '../raft/peer-id.js'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import { statusOf } from './status.js'

/** What the wizards of `member` fill their lists with. */
export interface WizardFacts {
  readonly members: readonly {
    readonly id: string
    readonly address: string
    readonly role: string
    readonly state: string
    readonly lag: number | null
  }[]
  /** The next free name: n4 after n1 n2 n3; null where members have none. */
  readonly nextName: string | null
  readonly nextAddress: string
}

/** Throws E_UNREACHABLE when nobody answers. */
export async function membershipFacts(client: ClusterClient): Promise<WizardFacts> {
  const found = await survey(client)
  const { status, error } = statusOf(found)
  const rows = status.nodes.filter((row) => row.role !== null)
  if (rows.length === 0) throw error ?? new CliError('E_UNREACHABLE', 'nothing answers')
  const members = rows.map(({ id, address, role, leader, state, lag }) => ({ id, address, role: leader ? 'leader' : role!, state, lag }))
  const unnamed = [...found.reports.values()].every(({ kind }) => kind === 'braft')
  return {
    members,
    nextName: unnamed ? null : nextName(members.map(({ id }) => id)),
    nextAddress: nextAddress(members.map(({ address }) => address)),
  }
}

function nextName(names: readonly string[]): string {
  for (let i = names.length + 1; ; i++) if (!names.includes(`n${i}`)) return `n${i}`
}

/** The port after the highest on the host of the last member. */
function nextAddress(addresses: readonly string[]): string {
  const peers = addresses.map((address) => PeerId.parse(address)).filter((peer) => peer !== null)
  const host = peers.at(-1)?.host ?? '127.0.0.1'
  const port = Math.max(7000, ...peers.filter((peer) => peer.host === host).map((peer) => peer.port)) + 1
  return `${host}:${port}`
}

/** What runs at an address, in words; null: nothing does yet. Throws E_USAGE for what is no address. */
export async function probeAddress(client: ClusterClient, address: string): Promise<string | null> {
  const peer = PeerId.parse(address)
  if (!peer || peer.port === 0) throw new CliError('E_USAGE', `${JSON.stringify(address)} is no address`, { hint: 'Write HOST:PORT.' })
  const [reply] = await client.ask([address])
  if (!reply || !('report' in reply)) {
    if (reply?.failure.code === 'E_CLUSTER_MISMATCH') throw new CliError('E_CLUSTER_MISMATCH', `${address} ${reply.failure.message}`)
    return null
  }
  const { report } = reply
  return `version ${report.version ?? 'unknown'}, ${report.lastIndex === 0 ? 'empty log' : `log up to ${report.lastIndex}`}`
}
