import * as format from './format.js'
import type { Output } from './output.js'

interface SnapshotRowPicture {
  readonly id: string
  readonly snapshot: {
    readonly index: number
    readonly term: number
    readonly bytes: number | null
    readonly ageMs: number | null
    readonly checksum: string | null
    readonly path: string | null
  } | null
  readonly error: { readonly message: string } | null
}

interface ArchivePicture {
  readonly file: string
  readonly bytes: number
  readonly sha256: string
  readonly index: number
  readonly term: number
  readonly clusterId: string | null
  readonly group: string
  readonly machine: string
  readonly members: readonly { readonly peerId: string; readonly name: string; readonly role: string }[]
  readonly state: { readonly sha256: string; readonly keys: number; readonly versions: number; readonly sessions: number } | null
}

export const SNAPSHOT_COLUMNS = {
  NODE: 'name of the member, or its address',
  INDEX: 'last entry in its newest snapshot; - when it has none',
  TERM: 'of that entry',
  SIZE: 'of its files',
  AGE: 'since it was taken, or installed',
  CHECKSUM: 'of its files, as it was recorded with them',
}

/** Enough of a hash to recognise it by eye. */
const SHOWN = 12

export function printTaken(out: Output, nodes: readonly (SnapshotRowPicture & { readonly tookMs: number | null })[]): void {
  for (const { id, snapshot, tookMs, error } of nodes) {
    if (snapshot === null) out.line(`${id}  ${error?.message ?? 'has no snapshot: nothing is applied yet'}`)
    else {
      const size = snapshot.bytes === null ? '' : ` · ${format.bytes(snapshot.bytes)}`
      out.line(`${id}  snapshot ${format.count(snapshot.index)}${size} · ${format.duration(tookMs)}`)
    }
  }
}

export function printSnapshots(out: Output, nodes: readonly SnapshotRowPicture[]): void {
  const failed = nodes.some((row) => row.error !== null)
  out.table(
    [
      { name: 'node', value: (row) => row.id },
      { name: 'index', value: (row) => format.count(row.snapshot?.index), align: 'right' },
      { name: 'term', value: (row) => format.count(row.snapshot?.term), align: 'right', priority: 2 },
      { name: 'size', value: (row) => format.bytes(row.snapshot?.bytes), align: 'right' },
      { name: 'age', value: (row) => format.duration(row.snapshot?.ageMs), align: 'right', priority: 1 },
      { name: 'checksum', value: (row) => row.snapshot?.checksum ?? format.UNKNOWN, priority: 3 },
      { name: 'path', value: (row) => row.snapshot?.path ?? format.UNKNOWN, wide: true },
      ...(failed ? [{ name: 'error', value: errorText }] : []),
    ],
    nodes,
  )
}

/** The row says already whose it is. */
function errorText({ id, error }: SnapshotRowPicture): string {
  return error === null ? '' : error.message.replace(`${id}: `, '')
}

export function savedLine(saved: ArchivePicture & { readonly node: { readonly id: string }; readonly tookMs: number }): string {
  const { file, bytes, node, sha256, index, tookMs } = saved
  return `saved ${file}  ${format.bytes(bytes)} from ${node.id} at ${format.count(index)} · sha256 ${sha256.slice(0, SHOWN)}… · verified · ${format.duration(tookMs)}`
}

export function printArchive(out: Output, archive: ArchivePicture): void {
  const { file, bytes, index, term, clusterId, group, machine, members, state } = archive
  const keys = state === null ? `machine ${machine}` : `${format.count(state.keys)} ${state.keys === 1 ? 'key' : 'keys'}`
  out.line(`${file}  index ${format.count(index)} term ${term} · ${keys} · ${format.bytes(bytes)}`)
  const voters = members.map(({ name, peerId, role }) => `${name || peerId}${role === 'voter' ? '' : ` (${role})`}`)
  out.line(`  group ${group} of cluster ${clusterId ?? 'unknown'} · members ${voters.join(' ')}`)
  if (state !== null)
    out.line(
      `  ${format.count(state.versions)} versions · ${format.count(state.sessions)} sessions · state hash ${state.sha256.slice(0, SHOWN)}…`,
    )
}

interface PrefixPicture {
  readonly keys: number
  readonly bytes: number
  readonly historyBytes: number
  readonly share: number
}

export const PREFIX_COLUMNS = {
  PREFIX: 'of the keys, up to --depth slashes',
  SHARE: 'of keys and values of every version that is kept',
  KEYS: 'keys that exist',
  SIZE: 'of keys that exist, with their newest values',
  HISTORY: 'of keys and values of every version that is kept',
}

export function printPrefixes(out: Output, rows: readonly (PrefixPicture & { readonly name: string })[]): void {
  out.table(
    [
      { name: 'prefix', value: (row) => row.name },
      { name: 'share', value: (row) => `${(row.share * 100).toFixed(row.share < 0.1 ? 1 : 0)}%`, align: 'right' },
      { name: 'keys', value: (row) => format.count(row.keys), align: 'right' },
      { name: 'size', value: (row) => format.bytes(row.bytes), align: 'right', priority: 1 },
      { name: 'history', value: (row) => format.bytes(row.historyBytes), align: 'right', priority: 2 },
    ],
    rows,
  )
}
