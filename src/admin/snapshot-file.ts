import { createReadStream } from 'node:fs'
import { CliError } from '../terminal/errors.js'
import { type JsonBytes, jsonBytes, shown } from './key-value.js'
import { ArchiveCheck, type ArchiveContents, type ArchiveOptions } from './snapshot-archive.js'

const PIECE_BYTES = 256 * 1024

/** What stands in an archive, as its manifest and its state say. */
export interface SnapshotFacts {
  readonly file: string
  readonly bytes: number
  readonly sha256: string
  readonly index: number
  readonly term: number
  readonly clusterId: string | null
  readonly group: string
  readonly machine: string
  readonly schemaVersion: number
  readonly configIndex: number
  readonly members: readonly { readonly peerId: string; readonly name: string; readonly role: string }[]
  readonly files: readonly { readonly name: string; readonly size: number; readonly sha256: string }[]
  /** Null for machines other than kv. */
  readonly state: SnapshotStateFacts | null
}

export interface SnapshotStateFacts {
  /** As `check consistency` shows it. */
  readonly sha256: string
  /** Keys that exist. */
  readonly keys: number
  /** Versions kept, of keys that exist and of deleted ones. */
  readonly versions: number
  readonly sessions: number
}

/** `data` of `snapshot inspect --json`. */
export interface SnapshotInspection extends SnapshotFacts {
  /** The largest, largest first; null for machines other than kv. */
  readonly prefixes: readonly PrefixRow[] | null
  /** What the prefixes that are not listed have together. */
  readonly others: (Omit<PrefixRow, 'prefix'> & { readonly prefixes: number }) | null
}

export interface PrefixRow {
  readonly prefix: JsonBytes
  readonly keys: number
  /** Of keys that exist, with their newest values. */
  readonly bytes: number
  /** Keys and values of every version that is kept. */
  readonly historyBytes: number
  /** Of `historyBytes` of the whole state. */
  readonly share: number
}

/** `data` of `snapshot verify --json`. */
export interface SnapshotVerification extends SnapshotFacts {
  readonly ok: true
  /** Of the state after it was loaded; null without --replay. */
  readonly replayedHash: string | null
}

export interface InspectOptions {
  readonly depth: number
  readonly top: number
}

/** Reads a whole archive and says what is in it. Throws E_CORRUPT, E_UNSUPPORTED, or E_USAGE when it cannot be read. */
export async function inspectSnapshot(file: string, options: InspectOptions): Promise<SnapshotInspection> {
  const contents = await readArchive({ name: file, prefixes: options })
  const { prefixes } = contents
  const share = (bytes: number) => (prefixes && prefixes.total.historyBytes > 0 ? bytes / prefixes.total.historyBytes : 0)
  return {
    ...factsOf(file, contents),
    prefixes: prefixes
      ? prefixes.top.map(({ prefix, ...sums }) => ({ prefix: jsonBytes(prefix), ...sums, share: share(sums.historyBytes) }))
      : null,
    others: prefixes && prefixes.others.prefixes > 0 ? { ...prefixes.others, share: share(prefixes.others.historyBytes) } : null,
  }
}

/** Reads a whole archive and checks all of it. Throws as `inspectSnapshot`. */
export async function verifySnapshot(file: string, { replay }: { readonly replay: boolean }): Promise<SnapshotVerification> {
  const contents = await readArchive({ name: file, replay })
  if (replay && contents.state === null)
    throw new CliError('E_UNSUPPORTED', `${file} holds a machine of kind ${contents.manifest.machine}: only kv can be replayed here`, {
      hint: 'Leave out --replay.',
    })
  return { ...factsOf(file, contents), ok: true, replayedHash: contents.replayedHash }
}

async function readArchive(options: ArchiveOptions): Promise<ArchiveContents> {
  const check = new ArchiveCheck(options)
  const source = options.name === '-' ? process.stdin : createReadStream(options.name, { highWaterMark: PIECE_BYTES })
  try {
    for await (const piece of source) check.push(piece as Buffer)
  } catch (thrown) {
    if (thrown instanceof CliError || typeof (thrown as NodeJS.ErrnoException).code !== 'string') throw thrown
    throw new CliError('E_USAGE', `${options.name} cannot be read: ${(thrown as Error).message}`, { hint: 'Check the path.' })
  }
  return check.end()
}

export function factsOf(file: string, { manifest, bytes, sha256, state }: ArchiveContents): SnapshotFacts {
  const { index, term, clusterId, group, machine, schemaVersion, configIndex, members, files } = manifest
  return {
    ...{ file, bytes, sha256, index, term, clusterId, group, machine, schemaVersion, configIndex, members, files },
    state: state && { sha256: state.sha256, keys: state.liveKeys, versions: state.versions, sessions: state.sessions },
  }
}

/** The prefixes, and what is not listed, as a person reads them. */
export function prefixNames({ prefixes, others }: SnapshotInspection): (Omit<PrefixRow, 'prefix'> & { readonly name: string })[] {
  const listed = (prefixes ?? []).map(({ prefix, ...sums }) => ({ ...sums, name: prefix === '' ? '(no slash)' : shown(prefix) }))
  return others === null ? listed : [...listed, { ...others, name: `(${others.prefixes} others)` }]
}
