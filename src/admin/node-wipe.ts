import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { IdentityRecord } from '../storage/identity-file.js'
import { DirectoryLock, DirectoryLockedError } from '../storage/lock.js'
import { DEFAULT_GROUP } from '../storage/open-storage.js'
import type { Connection } from '../terminal/connection.js'
import { CliError } from '../terminal/errors.js'
import { ClusterClient } from './cluster-client.js'
import { newestConfiguration, readGroup } from './data-contents.js'
import { type GroupPlace, openDataDirectory } from './data-directory.js'
import { membersOf, survey } from './discovery.js'
import { addressOf, peerKey } from './node-report.js'

/** A data directory that is to be put aside, and whose it is. */
export interface WipeTarget {
  readonly path: string
  readonly group: string
  readonly name: string
  readonly peerId: string
  readonly clusterId: string | null
  /** Why the node itself knows that it is no member any more; null when it does not. */
  readonly removed: string | null
  /** `host:port` of those who may know, as the directory names them. */
  readonly members: readonly string[]
}

/** What speaks for putting the directory aside. */
export type Grounds = 'removed' | 'not-a-member' | 'forced'

/** `data` of `node wipe --json`. */
export interface WipeOutcome {
  readonly node: string
  readonly address: string
  readonly clusterId: string | null
  readonly grounds: Grounds
  readonly from: string
  readonly to: string
}

/** Reads whose directory it is. Throws E_NO_DATA_DIR, E_DATA_DIR when a process uses it or nobody's name is in it. */
export async function readWipeTarget(path: string): Promise<WipeTarget> {
  const directory = await openDataDirectory(resolve(path), null)
  if (directory.holder) throw inUse(directory.path, directory.holder.pid)
  for (const place of directory.groups) {
    const { identity, members } = readPlace(place)
    if (!identity) continue
    const { name, peerId, clusterId, removed } = identity
    return {
      path: directory.path,
      group: place.group ?? DEFAULT_GROUP,
      name: name ?? addressOf(peerId),
      ...{ peerId, clusterId },
      removed: removed?.reason ?? null,
      members: [...new Set([...(removed?.members ?? []), ...members])].filter((address) => address !== addressOf(peerId)),
    }
  }
  throw new CliError('E_DATA_DIR', `${directory.path} does not say whose it is: it is braft's, or its raftctl/node.json is damaged`, {
    hint: 'Move it away by hand once you are sure that nobody needs it.',
  })
}

function readPlace(place: GroupPlace): { identity: IdentityRecord | null; members: string[] } {
  using contents = readGroup(place)
  const identity = contents.identity.state === 'valid' ? contents.identity.value : null
  const configuration = newestConfiguration(contents)
  const founders = Object.keys(identity?.founders ?? {}).map(addressOf)
  return { identity, members: [...(configuration?.conf.peers.map((peer) => peer.address) ?? []), ...founders] }
}

/**
 * Makes sure that no cluster counts on the directory: the node says itself that it was removed, or the committed configuration
 * lacks it. Throws E_STILL_MEMBER, and E_UNREACHABLE when nobody can tell.
 */
export async function groundsFor(target: WipeTarget, connection: Connection | null): Promise<Grounds> {
  if (target.removed !== null) return 'removed'
  if (connection === null) throw unknown(target, 'its directory names nobody else who could be asked')
  using client = new ClusterClient(connection)
  const { membership, reports, failures } = await survey(client)
  const others = [...reports.values()].filter((report) => peerKey(report.peerId) !== peerKey(target.peerId))
  if (others.length === 0 || !membership?.committed) {
    const lines = [...failures.values()].map(({ endpoint, message }) => `${endpoint}: ${message}`)
    throw unknown(target, lines.length > 0 ? lines.join(', ') : 'no member knows a committed configuration')
  }
  if (!membersOf(membership).some((member) => peerKey(member.peerId) === peerKey(target.peerId))) return 'not-a-member'
  throw new CliError(
    'E_STILL_MEMBER',
    `${target.name} is still a member of its cluster, by the committed configuration ${membership.configIndex}`,
    {
      hint: `Remove it first:  raftctl member remove ${target.name}\nTo put the directory aside all the same, and rebuild the member from the others: --force`,
      details: { node: target.name, configIndex: membership.configIndex },
    },
  )
}

function unknown({ name, clusterId }: WipeTarget, why: string): CliError {
  return new CliError('E_UNREACHABLE', `nobody says whether ${name} is still a member of cluster ${clusterId ?? '(unknown)'}: ${why}`, {
    hint: 'Say whom to ask: -c CONTEXT or -e HOST:PORT. To put the directory aside without asking: --force',
  })
}

/** Moves the directory beside itself, under a name that says when; nothing is deleted. Holds its lock meanwhile. */
export async function moveAside(target: WipeTarget, day: string): Promise<string> {
  const lock = await DirectoryLock.acquire(target.path).catch((error) => {
    throw error instanceof DirectoryLockedError ? inUse(target.path, error.owner?.pid ?? null) : unusable(target.path, error as Error)
  })
  try {
    const to = freeName(`${join(dirname(target.path), basename(target.path))}.removed-${day}`)
    moveDurably(target.path, to)
    rmSync(join(to, 'raftctl', 'LOCK'), { force: true })
    return to
  } catch (error) {
    throw unusable(target.path, error as Error)
  } finally {
    await lock.release()
  }
}

/** After a power loss the directory does not come back under its old name. */
function moveDurably(from: string, to: string): void {
  const parent = openSync(dirname(from), 'r')
  try {
    renameSync(from, to)
    fsyncSync(parent)
  } finally {
    closeSync(parent)
  }
}

function freeName(wanted: string): string {
  if (!existsSync(wanted)) return wanted
  for (let n = 2; ; n++) if (!existsSync(`${wanted}-${n}`)) return `${wanted}-${n}`
}

function inUse(path: string, pid: number | null): CliError {
  return new CliError('E_DATA_DIR', `${path} is in use by ${pid === null ? 'another process' : `process ${pid}`}`, {
    hint: `Stop that node first${pid === null ? '' : ` (kill ${pid})`}.`,
    details: { directory: path, pid },
  })
}

function unusable(path: string, error: Error): CliError {
  return new CliError('E_DATA_DIR', `${path} cannot be moved: ${error.message}`, {
    hint: 'Check who owns it and the directory above.',
    cause: error,
  })
}
