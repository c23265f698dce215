import type { MachineKind } from '../machines/machine.js'
import type { PeerId } from '../raft/peer-id.js'
import { CliError } from '../terminal/errors.js'
import { lastTermOf } from './data-check-log.js'
import { filesOf, type GroupContents, newestConfiguration, readGroup, type SlotPair } from './data-contents.js'
import { type DataDirectory, type GroupPlace, openDataDirectory, sizeOf } from './data-directory.js'
import { findingsOf } from './data-verify.js'

export interface Adoption {
  readonly dataDir: string
  readonly group: string
  readonly machine: MachineKind
  readonly peerId: PeerId
}

/** Why a directory that braft wrote last is not taken over. */
export interface AdoptionProblem {
  readonly code: 'E_CORRUPT' | 'E_DATA_DIR'
  readonly message: string
  readonly hint: string
}

/**
 * Whether the group of a directory that braft wrote last may be taken over as it is; null when it may. Only reads.
 *
 * Everything that can be checked is, as by `data verify`: what braft would start on with a hole, a lost vote or a bad byte is
 * refused here. The directory must be this member's: braft leaves no name in it, but it knows the members.
 */
export async function adoptionProblem(adoption: Adoption): Promise<AdoptionProblem | null> {
  try {
    const directory = await openDataDirectory(adoption.dataDir, null)
    const place = placeOf(directory, adoption)
    if (!place) return unusable(`${adoption.dataDir} holds no group ${adoption.group}`, NOTHING)
    using contents = readGroup(place)
    return problemOf(contents, directory, adoption)
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    return unusable(error.message, error.code === 'E_NO_DATA_DIR' ? NOTHING : error.hint)
  }
}

const NOTHING = 'Leave --adopt out to start on an empty directory, or give the directory of the braft node (its data_path) with --data.'

/** A group that braft wrote has no name: whatever we are told, unless we gave it one before. */
function placeOf({ path, groups }: DataDirectory, { group }: Adoption): GroupPlace | undefined {
  const nameless = groups.find(({ directory }) => directory === path && sizeOf(filesOf(path).identity) === null)
  return groups.find((place) => place.group === group) ?? nameless
}

function problemOf(contents: GroupContents, directory: DataDirectory, adoption: Adoption): AdoptionProblem | null {
  return (
    problemOfOwner(contents, adoption) ??
    problemOfContents(contents, directory, adoption) ??
    problemOfTerm(contents) ??
    problemOfMember(contents, adoption)
  )
}

/** It was ours before braft ran on it. */
function problemOfOwner({ identity, place }: GroupContents, { machine, peerId }: Adoption): AdoptionProblem | null {
  if (identity.state !== 'valid') return null
  const { peerId: owner, machine: runs = 'kv' } = identity.value
  if (owner !== peerId.toString())
    return unusable(
      `${place.directory} belongs to member ${owner}, this node is ${peerId}`,
      'Give the directory of this member with --data, or correct --listen or --advertise.',
    )
  if (runs === machine) return null
  return unusable(`${place.directory} holds the ${runs} machine, this node is to run ${machine}`, `Start it with --group NAME=${runs}.`)
}

function problemOfContents(contents: GroupContents, directory: DataDirectory, { machine }: Adoption): AdoptionProblem | null {
  // Whatever we kept beside it is of before braft ran: it says nothing about what is there now.
  const place = { ...contents.place, machine }
  const asBraft: GroupContents = { ...contents, place, identity: { state: 'missing' }, metaSlots: NO_SLOTS, durable: NO_SLOTS, seals: null }
  const damage = findingsOf({ ...directory, kind: 'braft' }, asBraft).find(({ severity }) => severity === 'damage')
  if (!damage)
    return contents.segments.length > 0 || contents.snapshots.length > 0
      ? null
      : unusable(`${contents.place.directory} holds no entry and no snapshot`, NOTHING)
  const where = [damage.offset === null ? '' : `offset ${damage.offset}`, damage.index === null ? '' : `index ${damage.index}`].filter(
    (text) => text !== '',
  )
  return corrupt(`${damage.file} is damaged${where.length > 0 ? ` at ${where.join(', ')}` : ''}: ${damage.problem}. ${damage.meaning}`)
}

/** A term is stored before its entries: an older one, or none, means that votes were lost with it. */
function problemOfTerm(contents: GroupContents): AdoptionProblem | null {
  const { raftMeta, place, snapshots } = contents
  const file = filesOf(place.directory).raftMeta
  const newest = Math.max(lastTermOf(contents), snapshots.at(-1)?.meta?.lastIncluded.term ?? 0)
  // A group that was made by braft's bootstrap is in term 1, and nothing says so.
  if (raftMeta.state === 'missing')
    return newest <= 1 ? null : corrupt(`${file} is missing, and entries are of term ${newest}: its votes were lost`)
  if (raftMeta.state !== 'valid' || raftMeta.value.term >= newest) return null
  return corrupt(
    `${file} says term ${raftMeta.value.term}, and entries are of term ${newest}: it is an old copy, and newer votes were lost`,
  )
}

function problemOfMember(contents: GroupContents, { peerId }: Adoption): AdoptionProblem | null {
  const configuration = newestConfiguration(contents)
  if (configuration?.contains(peerId)) return null
  const { directory } = contents.place
  if (!configuration) return unusable(`${directory} names no members`, NOTHING)
  const members = [...configuration.conf.peers, ...configuration.old.peers].map(String).join(', ')
  return unusable(
    `${directory} is of a group of ${members}, and this node is ${peerId}: it is another member's, or this one was removed`,
    'Give the directory of this member with --data, or correct --listen or --advertise. A member that was removed starts empty and is added again.',
  )
}

const NO_SLOTS: SlotPair<never> = { paths: ['', ''], slots: [{ state: 'empty' }, { state: 'empty' }], values: [null, null], newest: null }

function corrupt(message: string): AdoptionProblem {
  return {
    code: 'E_CORRUPT',
    message: `${message} Nothing was changed.`.replace(/([^.]) Nothing/, '$1. Nothing'),
    hint: 'Put the directory aside; start the member empty and add it again: the others send it everything.',
  }
}

function unusable(message: string, hint: string): AdoptionProblem {
  return { code: 'E_DATA_DIR', message, hint }
}
