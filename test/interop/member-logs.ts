import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { readGroup } from '../../src/admin/data-contents.js'
import { entryKind } from '../../src/admin/entry-summary.js'
import { example } from '../../src/generated/braft.js'
import type { EntryType } from '../../src/raft/log-entry.js'
import { logIndex, plus } from '../../src/raft/types.js'
import { decodeFramed } from '../../src/storage/protobuf-file.js'
import { int64 } from './group-calls.js'

/** A member's directories of its group, to be read while nothing is appended. */
export interface MemberLog {
  readonly name: string
  /** Holds `log` and `snapshot`. */
  readonly directory: string
}

export interface LogComparison {
  /** What all logs have in common, inclusive; none when to < from. */
  readonly from: number
  readonly to: number
  readonly problems: readonly string[]
}

interface Entry {
  readonly index: number
  readonly term: number
  readonly type: number
  readonly data: Buffer
}

/** Compares logs entry by entry, as far as all of them reach; every checksum on the way is verified. */
export function compareLogs(logs: readonly MemberLog[]): LogComparison {
  const readers = logs.map((log) => ({ ...log, contents: readGroup({ group: null, directory: log.directory }) }))
  try {
    const problems: string[] = []
    const ranges = readers.map(({ name, contents }) => {
      const bad = contents.segments.find(({ result }) => result.problem !== null)
      if (bad) problems.push(`${name}: ${bad.path} ends with "${bad.result.problem}"`)
      const first = contents.logFirstIndex.state === 'valid' ? contents.logFirstIndex.value : logIndex(1)
      return { first, last: contents.segments.at(-1)?.segment.lastIndex ?? plus(first, -1) }
    })
    const from = logIndex(Math.max(...ranges.map(({ first }) => first)))
    const to = logIndex(Math.min(...ranges.map(({ last }) => last)))
    const walks = readers.map(({ name, contents }) => ({ name, entries: entriesOf(contents, from, to) }))
    for (let index: number = from; index <= to && problems.length === 0; index++) {
      const found = walks.map(({ name, entries }) => ({ name, entry: entries.next().value as Entry | undefined }))
      const first = found[0]!
      for (const { name, entry } of found) {
        if (entry === undefined || entry.index !== index) problems.push(`${name} has no entry ${index} between ${from} and ${to}`)
        else if (first.entry && !same(entry, first.entry))
          problems.push(`entry ${index} differs: ${first.name} has ${told(first.entry)}, ${name} has ${told(entry)}`)
      }
    }
    return { from, to, problems }
  } finally {
    for (const { contents } of readers) contents[Symbol.dispose]()
  }
}

function* entriesOf(
  contents: ReturnType<typeof readGroup>,
  from: ReturnType<typeof logIndex>,
  to: ReturnType<typeof logIndex>,
): Generator<Entry> {
  for (const file of contents.segments) {
    if (file.segment.count === 0 || file.segment.lastIndex < from || file.segment.firstIndex > to) continue
    for (const batch of file.entries(from, to))
      for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1))
        yield { index, term: batch.termAt(index), type: batch.typeAt(index), data: batch.dataAt(index) }
  }
}

function same(a: Entry, b: Entry): boolean {
  return a.term === b.term && a.type === b.type && a.data.equals(b.data)
}

function told({ term, type, data }: Entry): string {
  return `term ${term}, ${entryKind(type as EntryType)}, ${data.length} bytes ${data.subarray(0, 32).toString('hex')}`
}

/** A hash over the files of a snapshot, for members that write the same bytes for the same state. */
export function snapshotDigest(directory: string, index: number): string {
  const place = snapshotDirectory(directory, index)
  const hash = createHash('sha256')
  const files = readdirSync(place, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map((file) => join(file.parentPath, file.name))
  for (const file of files.sort()) hash.update(`${relative(place, file)}\0`).update(readFileSync(file))
  return hash.digest('hex')
}

function snapshotDirectory(directory: string, index: number): string {
  return join(directory, 'snapshot', `snapshot_${String(index).padStart(20, '0')}`)
}

/** The value of the counter in a snapshot; both kinds keep it in the same file. */
export function snapshotValue(directory: string, index: number): bigint {
  const file = join(snapshotDirectory(directory, index), 'data')
  const decoded = decodeFramed(readFileSync(file), example.Snapshot)
  if ('problem' in decoded) throw new Error(`${file}: ${decoded.problem}`)
  return int64(decoded.message.value)
}
