import { setTimeout as pause } from 'node:timers/promises'
import { status } from '@grpc/grpc-js'
import { Configuration } from '../raft/configuration.js'
import type { PeerId } from '../raft/peer-id.js'
import { Channels } from '../rpc/channel.js'
import { Control } from '../rpc/control-definition.js'
import { ServiceClient } from '../rpc/grpc.js'
import type { IdentityRecord, Removal } from '../storage/identity-file.js'
import { DEFAULT_GROUP } from '../storage/open-storage.js'
import type { NodeConfiguration } from './configuration.js'
import type { Logger } from './logging.js'
import { StartError } from './start-error.js'

const ASK_TIMEOUT_MS = 1000
const ASK_AGAIN_MS = 300
/** While nobody answers, the log says so this often. */
const SAY_AGAIN_MS = 5000

/**
 * What a start means for the directory it finds. `--peers` founds a group and counts on an empty directory only: a member
 * that was added, or is being rebuilt, and whose log is still empty must not take it for the configuration and elect itself.
 */
export function configurationFor(configuration: NodeConfiguration, found: IdentityRecord | null): NodeConfiguration {
  // What braft left has members already, and knows nothing of founding.
  if (configuration.adopt) return { ...configuration, initialConf: new Configuration([]) }
  const founds = found === null ? configuration.standing === 'founding' : found.standing === 'founding' || found.founders !== null
  return founds ? configuration : { ...configuration, initialConf: new Configuration([]) }
}

/** A log is commands of one machine: taken for those of another, they would make a state that nobody wrote. */
export function refuseOtherMachine({ dataDir, group, machine }: NodeConfiguration, found: IdentityRecord): void {
  const { machine: runs = 'kv' } = found
  if (runs === machine) return
  throw new StartError(
    'E_DATA_DIR',
    `${dataDir} holds the ${runs} machine, this node is to run ${machine}`,
    `Start it with --group ${group}=${runs}, or give another directory with --data.`,
  )
}

/** Why a member that was removed does not run, and how it comes back: with an empty directory, as a new member. */
export function removedError(configuration: NodeConfiguration, { reason, members }: Removal): StartError {
  const { name, peerId, dataDir, listen, group, machine, mixed } = configuration
  const { address } = peerId
  const label = name === address ? 'NAME' : name
  const join = members.length > 0 ? members.join(',') : 'HOST:PORT'
  const where = `${listen.host}:${listen.port}`
  const more = [
    ...(where === address ? [] : [`--advertise ${address}`]),
    ...(group === DEFAULT_GROUP && machine === 'kv' ? [] : [`--group ${group}${machine === 'kv' ? '' : `=${machine}`}`]),
    ...(mixed ? ['--mixed'] : []),
  ]
  const start = ['raftctl node start', `--name ${label}`, `--listen ${where}`, ...more, `--join ${join}`, `--data ${dataDir}`].join(' ')
  return new StartError(
    'E_REMOVED_FROM_CLUSTER',
    `${name} is no longer a member of its cluster: ${reason}`,
    [
      'To make it a member again, put its directory aside, start it, and add it:',
      `  raftctl node wipe ${dataDir}`,
      `  ${start}`,
      `  raftctl member add ${label}=${address}`,
    ].join('\n'),
  )
}

export interface LearnOptions {
  readonly expected: string | null
  /** Braft nodes may be members; they know of no cluster id. */
  readonly mixed: boolean
  readonly signal: AbortSignal
  readonly log: Logger
}

/**
 * Asks the members that `--join` names which cluster they are, until one says so. Null when `signal` ends the waiting first; no
 * `clusterId` when none but braft nodes answered. Throws StartError E_CLUSTER_MISMATCH when they are of several clusters, or not
 * of the `expected` one, and E_MIXED when one is a braft node and this one was not told to expect that.
 */
export async function learnClusterId(
  peers: readonly PeerId[],
  { expected, mixed, signal, log }: LearnOptions,
): Promise<{ readonly clusterId: string | null } | null> {
  const channels = new Channels({ reconnectBackoffMaxMs: 500 })
  let saidAt = Number.NEGATIVE_INFINITY
  try {
    while (!signal.aborted) {
      const answers = await Promise.all(peers.map((peer) => ask(channels, peer, signal)))
      const known = answers.filter((answer) => answer.clusterId !== '')
      const braft = answers.find((answer) => answer.isBraft)
      if (braft && !mixed) throw strangerError(braft.address)
      if (known.length > 0) return { clusterId: agreed(known, expected) }
      if (braft) return { clusterId: null }
      if (performance.now() - saidAt > SAY_AGAIN_MS) {
        saidAt = performance.now()
        log.warn({ members: answers.map(({ address, problem }) => `${address}: ${problem}`) }, 'join.waiting')
      }
      await pause(ASK_AGAIN_MS, undefined, { signal }).catch(() => {})
    }
    return null
  } finally {
    channels.close()
  }
}

interface Answer {
  readonly address: string
  /** '' while it is not known. */
  readonly clusterId: string
  readonly isBraft: boolean
  readonly problem: string
}

async function ask(channels: Channels, { address }: PeerId, signal: AbortSignal): Promise<Answer> {
  try {
    const client = new ServiceClient(Control, channels.grpc(address))
    const { cluster_id: clusterId } = await client.call('Probe', {}, { timeoutMs: ASK_TIMEOUT_MS, signal })
    return { address, clusterId, isBraft: false, problem: 'it does not know its cluster yet' }
  } catch (error) {
    const { code, details = '', message } = error as Error & { code?: status; details?: string }
    return { address, clusterId: '', isBraft: code === status.UNIMPLEMENTED, problem: details || message }
  }
}

function strangerError(address: string): StartError {
  return new StartError('E_MIXED', `${address} is a braft node`, 'Start this node with --mixed to join a group that has braft members.')
}

function agreed(answers: readonly Answer[], expected: string | null): string {
  const [first] = answers
  const other = answers.find((answer) => answer.clusterId !== first!.clusterId)
  if (other) {
    const message = `--join names members of different clusters: ${[first!, other].map((one) => `${one.address} is of ${one.clusterId}`).join(', ')}`
    throw new StartError('E_CLUSTER_MISMATCH', message, 'Name members of one cluster only.')
  }
  if (expected !== null && first!.clusterId !== expected) {
    const message = `${first!.address} belongs to cluster ${first!.clusterId}, not to ${expected}`
    throw new StartError('E_CLUSTER_MISMATCH', message, 'Correct --join, or leave --cluster-id out.')
  }
  return first!.clusterId
}
