import { createHash } from 'node:crypto'
import type { Random } from '../../src/raft/environment.js'
import {
  type Image,
  type NameChange,
  SECTOR_BYTES,
  sectorOf,
  setName,
  type TraceDirectory,
  type TraceDisk,
  type TraceFileNode,
  type TraceNode,
} from './trace-disk.js'

/** So many subsets of undecided name changes are all taken: those of twelve. */
const NAMES_LIMIT = 4096
/** Of a power loss that could end in more ways, so many that were drawn are tried beside the systematic ones. */
const DRAWN = 64

/** One thing that a power loss decides: which of its options comes true; 0 is that nothing of it reached the disk. */
interface Decision {
  readonly options: number
  /** When each option came up; option 0 was always there. */
  readonly since: readonly number[]
}

/** A file and what of it is undecided. */
interface OpenFile {
  readonly path: string
  readonly file: TraceFileNode
  /** Sizes that it may have, and how many of the unsynced sizes came true with each. */
  readonly sizes: readonly { readonly size: number; readonly applied: number }[]
  readonly sectors: readonly number[]
}

/**
 * Every state in which a loss of power may leave the disk now.
 *
 * A sector is atomic and keeps its durable bytes or takes any version written since, each on its own; a file has its durable size,
 * any that it took since, or one on the way to a larger one. Of the changes of names any subset is kept in which
 * a change comes with those before it on the same name or file. Where all of that together has at most `limit` outcomes, all are told;
 * else nothing and everything, what was asked for up to each moment, everything but one or two things, only one thing,
 * and some by chance.
 */
export function* crashImages(disk: TraceDisk, limit: number, random: Random): Generator<Image> {
  const subsets = nameSubsets(disk.pending, Math.min(limit, NAMES_LIMIT), random)
  for (const kept of subsets) {
    const files = new Map<string, Buffer | 'directory'>()
    const open: OpenFile[] = []
    walk(disk.root, '', overlay(kept), files, open)
    const decisions = open.flatMap(decisionsOf)
    for (const choice of choices(decisions, Math.max(4, Math.floor(limit / subsets.length)), random)) {
      const image = new Map(files)
      let at = 0
      for (const undecided of open) {
        image.set(undecided.path, bytesOf(undecided, choice.slice(at, at + 1 + undecided.sectors.length)))
        at += 1 + undecided.sectors.length
      }
      yield image
    }
  }
}

/** The same for two images exactly when they are the same. */
export function keyOf(image: Image): string {
  const hash = createHash('sha1')
  for (const [path, bytes] of image) {
    hash.update(`${path}\0${bytes.length}\0`)
    hash.update(bytes)
  }
  return hash.digest('base64')
}

export function describeImage(image: Image): string {
  return [...image].map(([path, bytes]) => (bytes === 'directory' ? `${path}/` : `${path} (${bytes.length})`)).join(' ')
}

/** Which unsynced changes of names come true. */
function nameSubsets(pending: readonly NameChange[], limit: number, random: Random): NameChange[][] {
  const needs = pending.map((change, i) => pending.slice(0, i).flatMap((earlier, j) => (conflict(earlier, change) ? [j] : [])))
  const decisions = pending.map(({ sequence }) => ({ options: 2, since: [0, sequence] }))
  const found: NameChange[][] = []
  for (const choice of choices(decisions, limit, random)) {
    if (needs.some((earlier, i) => choice[i] === 1 && earlier.some((j) => choice[j] === 0))) continue
    found.push(pending.filter((_, i) => choice[i] === 1))
  }
  return found
}

function conflict(a: NameChange, b: NameChange): boolean {
  return a.assignments.some((x) =>
    b.assignments.some((y) => (x.directory === y.directory && x.name === y.name) || (x.node !== null && x.node === y.node)),
  )
}

function overlay(kept: readonly NameChange[]): (directory: TraceDirectory) => ReadonlyMap<string, TraceNode> {
  const changed = new Map<TraceDirectory, Map<string, TraceNode>>()
  for (const { assignments } of kept) {
    for (const { directory, name, node } of assignments) {
      if (!changed.has(directory)) changed.set(directory, new Map(directory.durable))
      setName(changed.get(directory)!, name, node)
    }
  }
  return (directory) => changed.get(directory) ?? directory.durable
}

function walk(
  directory: TraceDirectory,
  path: string,
  namesOf: (directory: TraceDirectory) => ReadonlyMap<string, TraceNode>,
  files: Map<string, Buffer | 'directory'>,
  open: OpenFile[],
): void {
  for (const [name, node] of [...namesOf(directory)].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const below = `${path}/${name}`
    files.set(below, node.isDirectory ? 'directory' : node.durable)
    if (node.isDirectory) walk(node, below, namesOf, files, open)
    else if (node.sectors.size > 0 || node.sizes.length > 0)
      open.push({ path: below, file: node, sizes: sizesOf(node), sectors: [...node.sectors.keys()].sort((a, b) => a - b) })
  }
}

function sizesOf({ durable, sizes }: TraceFileNode): { size: number; applied: number }[] {
  const found = [{ size: durable.length, applied: 0 }]
  sizes.forEach(({ size, mayStay }, i) => {
    if (mayStay) found.push({ size, applied: i + 1 })
  })
  const last = sizes.at(-1)
  if (last && last.size > durable.length + 1) found.push({ size: Math.floor((durable.length + last.size) / 2), applied: sizes.length })
  return found
}

function decisionsOf({ file, sizes, sectors }: OpenFile): Decision[] {
  const sinceOf = (applied: number) => (applied === 0 ? 0 : file.sizes[applied - 1]!.sequence)
  return [
    { options: sizes.length, since: sizes.map(({ applied }) => sinceOf(applied)) },
    ...sectors.map((sector) => {
      const versions = file.sectors.get(sector)!
      return { options: versions.length + 1, since: [0, ...versions.map(({ sequence }) => sequence)] }
    }),
  ]
}

function bytesOf({ file, sizes, sectors }: OpenFile, choice: readonly number[]): Buffer {
  const { size, applied } = sizes[choice[0]!]!
  const cuts = file.sizes.slice(0, applied)
  const bytes = Buffer.alloc(size)
  for (let sector = 0; sector * SECTOR_BYTES < size; sector++) {
    const start = sector * SECTOR_BYTES
    const chosen = sectors.indexOf(sector) < 0 ? 0 : choice[1 + sectors.indexOf(sector)]!
    const version = chosen === 0 ? null : file.sectors.get(sector)![chosen - 1]!
    ;(version?.bytes ?? sectorOf(file.durable, sector)).copy(bytes, start)
    const since = version?.sequence ?? file.durableSince.get(sector) ?? 0
    for (const cut of cuts)
      if (cut.sequence > since && cut.size < start + SECTOR_BYTES)
        bytes.fill(0, Math.max(start, cut.size), Math.min(size, start + SECTOR_BYTES))
  }
  return bytes
}

/** Ways to decide everything: all of them when there are at most `limit`. */
function* choices(decisions: readonly Decision[], limit: number, random: Random): Generator<readonly number[]> {
  const total = decisions.reduce((product, { options }) => product * options, 1)
  if (total <= limit) return yield* product(decisions)
  const nothing = decisions.map(() => 0)
  const everything = decisions.map(({ options }) => options - 1)
  yield nothing
  yield everything
  for (const moment of new Set(decisions.flatMap(({ since }) => since))) {
    yield decisions.map(({ since }) => since.findLastIndex((began) => began <= moment))
  }
  const pairs: (readonly number[])[] = []
  for (const [i, { options }] of decisions.entries()) {
    for (let option = 0; option < options; option++) {
      yield everything.with(i, option)
      yield nothing.with(i, option)
    }
    for (let j = i + 1; j < decisions.length; j++)
      pairs.push(everything.with(i, 0).with(j, 0), nothing.with(i, everything[i]!).with(j, everything[j]!))
  }
  yield* pairs.length <= limit ? pairs : pairs.filter(() => random.chance(limit / pairs.length))
  for (let i = 0; i < Math.min(DRAWN, limit); i++) yield decisions.map(({ options }) => random.below(options))
}

function* product(decisions: readonly Decision[]): Generator<readonly number[]> {
  const choice = decisions.map(() => 0)
  for (;;) {
    yield [...choice]
    let i = 0
    while (i < choice.length && ++choice[i]! === decisions[i]!.options) choice[i++] = 0
    if (i === choice.length) return
  }
}
