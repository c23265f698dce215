import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ConfigurationEntry } from '../raft/configuration.js'
import { firstIndexOf, lastIndexOf, lastTermOf, markOf } from './data-check-log.js'
import { type GroupContents, newestConfiguration, readGroup } from './data-contents.js'
import { type DataDirectory, type GroupPlace, ifThere } from './data-directory.js'
import { type Finding, type Verdict, verdictOf } from './data-findings.js'
import { findingsOf, settledLook } from './data-verify.js'

export interface SegmentView {
  readonly file: string
  readonly first: number
  /** Last entry that is good; one less than `first` when it holds none. */
  readonly last: number
  readonly open: boolean
  readonly entries: number
  readonly bytes: number
}

export interface SnapshotView {
  readonly path: string
  readonly index: number
  readonly term: number | null
  readonly files: number
  readonly bytes: number
}

export interface GroupView {
  readonly group: string | null
  /** What the group runs; null for a directory of braft, which does not say. */
  readonly machine: string | null
  readonly directory: string
  readonly verdict: Verdict
  readonly term: number | null
  /** PeerId; null when no vote was given in that term. */
  readonly votedFor: string | null
  readonly log: {
    readonly first: number
    readonly last: number
    readonly lastTerm: number | null
    readonly entries: number
    readonly bytes: number
    readonly segments: readonly SegmentView[]
  }
  /** Entries are promised to be on disk up to here; null where nothing is recorded. */
  readonly durableIndex: number | null
  readonly snapshots: readonly SnapshotView[]
  /** The newest that the directory holds, committed or not; null when it holds none. */
  readonly configuration: ConfigurationView | null
  readonly findings: readonly Finding[]
}

export interface ConfigurationView {
  readonly index: number
  readonly configIndex: number
  readonly voters: readonly string[]
  /** Not empty while joint. */
  readonly oldVoters: readonly string[]
  readonly learners: readonly string[]
}

/** `data` of `data inspect --json`. */
export interface DirectoryView {
  readonly directory: string
  readonly kind: DataDirectory['kind']
  readonly pid: number | null
  readonly verdict: Verdict
  readonly node: {
    readonly name: string | null
    readonly peerId: string
    readonly clusterId: string | null
    readonly standing: string
    readonly incarnation: string
    readonly generation: number
  } | null
  /** Labels of members by `host:port:idx`. */
  readonly names: Readonly<Record<string, string>>
  readonly groups: readonly GroupView[]
}

/** What a directory holds, and whether it is sound. The same checks as `data verify`. */
export async function inspectDirectory(directory: DataDirectory): Promise<DirectoryView> {
  const looks = []
  for (const place of directory.groups) looks.push(await settledLook(directory, () => lookAt(directory, place)))
  const groups = looks.map(({ view, findings }) => ({ ...view, findings, verdict: verdictOf(findings) }))
  return {
    directory: directory.path,
    kind: directory.kind,
    pid: directory.holder?.pid ?? null,
    verdict: verdictOf(groups.flatMap(({ findings }) => findings)),
    node: looks.find(({ node }) => node !== null)?.node ?? null,
    names: namesIn(directory.path),
    groups,
  }
}

function lookAt(directory: DataDirectory, place: GroupPlace) {
  using contents = readGroup(place)
  return { findings: findingsOf(directory, contents), view: viewOf(contents), node: nodeOf(contents) }
}

function nodeOf({ identity }: GroupContents): DirectoryView['node'] {
  if (identity.state !== 'valid') return null
  const { name, peerId, clusterId, standing, incarnation, generation } = identity.value
  return { name, peerId, clusterId, standing, incarnation, generation }
}

function viewOf(contents: GroupContents): Omit<GroupView, 'findings' | 'verdict'> {
  const { place, metaSlots, raftMeta, segments, snapshots } = contents
  const meta = metaSlots.newest !== null ? metaSlots.values[metaSlots.newest]! : raftMeta.state === 'valid' ? raftMeta.value : null
  const configuration = newestConfiguration(contents)
  const [first, last] = [firstIndexOf(contents), lastIndexOf(contents)]
  return {
    ...{ group: place.group, machine: place.machine ?? null, directory: place.directory },
    term: meta?.term ?? null,
    votedFor: meta === null || meta.votedFor.isEmpty ? null : meta.votedFor.toString(),
    log: {
      ...{ first, last },
      lastTerm: lastTermOf(contents) || null,
      entries: Math.max(0, last - first + 1),
      bytes: segments.reduce((sum, { fileBytes }) => sum + fileBytes, 0),
      segments: segments.map(({ path, segment, name, fileBytes }) => ({
        ...{
          file: path,
          first: segment.firstIndex,
          last: segment.lastIndex,
          open: name.lastIndex === null,
          entries: segment.count,
          bytes: fileBytes,
        },
      })),
    },
    durableIndex: markOf(contents)?.lastIndex ?? null,
    snapshots: snapshots.map(({ path, index, meta, files, bytes }) => ({
      path,
      index,
      term: meta?.lastIncluded.term ?? null,
      files: files.length,
      bytes,
    })),
    configuration: configuration && configurationView(configuration),
  }
}

function configurationView({ id, conf, old, learners, configIndex }: ConfigurationEntry): ConfigurationView {
  const texts = (peers: readonly { toString(): string }[]) => peers.map((peer) => peer.toString())
  return { index: id.index, configIndex, voters: texts(conf.peers), oldVoters: texts(old.peers), learners: texts(learners) }
}

/** Labels are for people: a file that does not parse is as good as none. */
function namesIn(directory: string): Record<string, string> {
  const path = join(directory, 'raftctl', 'members.json')
  const text = ifThere(path, () => readFileSync(path, 'utf8'))
  try {
    const { members } = JSON.parse(text ?? '{}') as { members?: Record<string, unknown> }
    return Object.fromEntries(Object.entries(members ?? {}).filter((pair): pair is [string, string] => typeof pair[1] === 'string'))
  } catch {
    return {}
  }
}
