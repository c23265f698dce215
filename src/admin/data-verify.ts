import { setTimeout as pause } from 'node:timers/promises'
import { FileChangedError } from '../storage/segment-file.js'
import { CliError } from '../terminal/errors.js'
import { checkLog } from './data-check-log.js'
import { checkMeta } from './data-check-meta.js'
import { checkSeals } from './data-check-seals.js'
import { checkSnapshots } from './data-check-snapshots.js'
import { type GroupContents, readGroup } from './data-contents.js'
import type { DataDirectory, GroupPlace } from './data-directory.js'
import { type Finding, findingKey, type Verdict, verdictOf } from './data-findings.js'
import { reportOn } from './data-remedies.js'

/** How much was looked at. */
export interface Checked {
  readonly groups: number
  readonly segments: number
  readonly entries: number
  readonly logBytes: number
  readonly snapshots: number
  readonly snapshotFiles: number
}

/** `data` of `data verify --json`. */
export interface Verification {
  readonly directory: string
  readonly kind: DataDirectory['kind']
  /** Of the node that uses the directory now; null when none does. */
  readonly pid: number | null
  readonly verdict: Verdict
  readonly checked: Checked
  readonly findings: readonly Finding[]
}

/** While a node runs, what is found counts only when it is found this many times in a row. */
const LOOKS = 4
const LOOKS_MAX = 12
/** Longer than the bound of the durable log lags behind (100 ms), seen over all looks. */
const BETWEEN_LOOKS_MS = 60

/** Checks every byte that can be checked. Reads only; also while the node runs. */
export async function verifyDirectory(directory: DataDirectory): Promise<Verification> {
  const groups: (Look & { readonly checked: Checked })[] = []
  for (const place of directory.groups) groups.push(await settledLook(directory, () => checkGroup(directory, place)))
  const findings = groups.flatMap((group) => group.findings)
  const sum = (of: (checked: Checked) => number) => groups.reduce((total, group) => total + of(group.checked), 0)
  return {
    directory: directory.path,
    kind: directory.kind,
    pid: directory.holder?.pid ?? null,
    verdict: verdictOf(findings),
    checked: {
      groups: groups.length,
      segments: sum((checked) => checked.segments),
      entries: sum((checked) => checked.entries),
      logBytes: sum((checked) => checked.logBytes),
      snapshots: sum((checked) => checked.snapshots),
      snapshotFiles: sum((checked) => checked.snapshotFiles),
    },
    findings,
  }
}

export interface Look {
  readonly findings: readonly Finding[]
}

/**
 * Looks until two things are certain: nothing went away while it was read, and what is wrong stays wrong. A running node
 * appends, seals, renames and cuts: a half-written end or a name that is gone is then no finding.
 */
export async function settledLook<T extends Look>(directory: DataDirectory, look: () => T): Promise<T> {
  let before: ReadonlySet<string> | null = null
  let agreed = 0
  for (let attempt = 1; ; attempt++) {
    const found = attemptOf(look)
    if (found !== null) {
      const lasting: T = stillWrong(found, before)
      if (directory.holder === null || lasting.findings.every(({ severity }) => severity === 'warning')) return lasting
      agreed = before !== null && lasting.findings.length === before.size ? agreed + 1 : 1
      if (agreed >= LOOKS) return withoutTornTails(lasting)
      before = new Set(lasting.findings.map(findingKey))
    }
    if (attempt >= LOOKS_MAX)
      throw new CliError('E_BUSY', `${directory.path} changed under every look at it`, {
        hint: 'Try again when the node has less to do, or stop it first.',
      })
    await pause(BETWEEN_LOOKS_MS)
  }
}

/** Null when files went away while they were read. */
function attemptOf<T>(look: () => T): T | null {
  try {
    return look()
  } catch (error) {
    if (error instanceof FileChangedError) return null
    throw error
  }
}

function stillWrong<T extends Look>(found: T, before: ReadonlySet<string> | null): T {
  return before === null ? found : { ...found, findings: found.findings.filter((finding) => before.has(findingKey(finding))) }
}

/** A node that runs knows what it wrote: the end of its log is being written, not torn. */
function withoutTornTails<T extends Look>(found: T): T {
  return { ...found, findings: found.findings.filter(({ severity }) => severity !== 'torn') }
}

export function checkGroup(directory: DataDirectory, place: GroupPlace): Look & { readonly checked: Checked } {
  using contents = readGroup(place)
  return { findings: findingsOf(directory, contents), checked: checkedOf(contents) }
}

export function findingsOf(directory: DataDirectory, contents: GroupContents): Finding[] {
  const report = reportOn(directory, contents.place.group)
  return [
    ...checkMeta(contents, report),
    ...checkLog(contents, report),
    ...checkSeals(contents, report),
    ...checkSnapshots(contents, report),
  ]
}

function checkedOf({ segments, snapshots }: GroupContents): Checked {
  return {
    groups: 1,
    segments: segments.length,
    entries: segments.reduce((sum, { segment }) => sum + segment.count, 0),
    logBytes: segments.reduce((sum, { segment }) => sum + segment.bytes, 0),
    snapshots: snapshots.length,
    snapshotFiles: snapshots.reduce((sum, { files }) => sum + files.length, 0),
  }
}
