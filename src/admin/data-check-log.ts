import { type LogIndex, logIndex, plus, type Term } from '../raft/types.js'
import { findHole, ifSyncedLate, whyBraftRefuses, whyNotTorn } from '../storage/log-recovery.js'
import type { SegmentFile } from '../storage/segment-file.js'
import { filesOf, type GroupContents } from './data-contents.js'
import type { Finding } from './data-findings.js'
import { type Report, remedy } from './data-remedies.js'

/** What is wrong with the log of a group: its first index, its segments by name and by content, every entry, its end. */
export function checkLog(contents: GroupContents, report: Report): Finding[] {
  const findings: Finding[] = [...checkFirstIndex(contents, report), ...checkNames(contents, report)]
  let lastTerm = 0 as Term
  for (const segment of contents.segments) {
    findings.push(...checkSegment(segment, contents, report), ...checkTerms(segment, lastTerm, report))
    if (segment.segment.count > 0) lastTerm = segment.segment.lastTerm
  }
  // Everything behind a bad entry is out of reach, so what is missing at the end was said already.
  const isWhole = findings.every(({ severity }) => severity !== 'damage')
  return [...findings, ...(isWhole ? [...checkBound(contents, report), ...checkStart(contents, report)] : [])]
}

export function firstIndexOf(contents: GroupContents): LogIndex {
  return contents.logFirstIndex.state === 'valid' ? contents.logFirstIndex.value : logIndex(1)
}

/** One less than the first when the log is empty. */
export function lastIndexOf(contents: GroupContents): LogIndex {
  const last = contents.segments.findLast(({ segment }) => segment.count > 0)
  return last && last.segment.lastIndex >= firstIndexOf(contents) ? last.segment.lastIndex : plus(firstIndexOf(contents), -1)
}

export function lastTermOf(contents: GroupContents): Term {
  return contents.segments.findLast(({ segment }) => segment.count > 0)?.segment.lastTerm ?? (0 as Term)
}

function checkFirstIndex({ logFirstIndex, segments, durable, place }: GroupContents, report: Report): Finding[] {
  const at = { kind: 'log-meta', file: filesOf(place.directory).logMeta, offset: null, index: null }
  const meaning = 'It says where the log starts. braft deletes every segment when it starts without this file; raftctl refuses to start.'
  if (logFirstIndex.state === 'damaged') return [report.damage({ ...at, offset: 0, problem: logFirstIndex.problem, meaning })]
  if (logFirstIndex.state === 'valid') {
    if (logFirstIndex.value >= 1) return []
    return [report.damage({ ...at, offset: 0, problem: `the log would start at index ${logFirstIndex.value}`, meaning })]
  }
  const promised = durable.newest === null ? 0 : durable.values[durable.newest]!.lastIndex
  if (segments.length > 0) return [report.damage({ ...at, problem: `missing beside ${segments.length} segments`, meaning })]
  if (promised > 0) return [report.damage({ ...at, problem: `missing, but there was a log up to index ${promised}`, meaning })]
  return []
}

function checkNames(contents: GroupContents, report: Report): Finding[] {
  const findings: Finding[] = []
  const open = contents.segments.filter(({ name }) => name.lastIndex === null)
  const at = (segment: SegmentFile) => ({ file: segment.path, offset: null, index: segment.name.firstIndex })
  if (open.length > 1) {
    const problem = `${open.length} segments are open: ${open.map(({ name }) => name.name).join(', ')}`
    findings.push(
      report.damage({
        ...at(open[1]!),
        kind: 'two-open-segments',
        problem,
        meaning: 'Only the last segment may be open: one of them is from another time.',
      }),
    )
  }
  const hole = findHole(
    contents.segments.map(({ name }) => name),
    firstIndexOf(contents),
  )
  if (!hole) return findings
  const segment = contents.segments.find(({ name }) => name === hole.segment)!
  const problem =
    hole.expected === null
      ? 'by its name it ends before it starts'
      : `entries ${hole.expected} to ${segment.name.firstIndex - 1} are missing before it`
  const meaning = 'Entries that were there are gone; what follows them cannot be used.'
  findings.push(
    report.damage({ ...at(segment), kind: 'missing-segment', index: hole.expected ?? segment.name.firstIndex, problem, meaning }),
  )
  return findings
}

function checkSegment(file: SegmentFile, contents: GroupContents, report: Report): Finding[] {
  const { segment, result, name } = file
  const index = plus(segment.lastIndex, 1)
  if (result.problem === null && (name.lastIndex === null || segment.bytes === file.fileBytes)) {
    if (name.lastIndex === null || segment.lastIndex === name.lastIndex) return []
    const promised = name.lastIndex - name.firstIndex + 1
    const problem = `holds ${segment.count} entries, its name promises ${promised}`
    return [
      report.damage({
        kind: 'segment-name',
        file: file.path,
        offset: segment.bytes,
        index,
        problem,
        meaning: 'A sealed segment is never changed: it was cut, or renamed by hand.',
      }),
    ]
  }
  const tail = file.fileBytes - segment.bytes
  const at = { kind: 'bad-entry', file: file.path, offset: segment.bytes, index }
  const problem = `${describeProblem(file)} (${tail} bytes from here to the end of the file)`
  if (name.lastIndex !== null)
    return [
      report.damage({
        ...at,
        problem,
        meaning: 'A sealed segment is never written again, so this is no torn write: its bytes changed on the disk.',
      }),
    ]
  const found = { segment, result, fileBytes: file.fileBytes, mark: markOf(contents) }
  const isBraft = contents.identity.state === 'missing'
  const why = isBraft ? whyBraftRefuses(result) : whyNotTorn(found)
  const late = isBraft ? '' : ifSyncedLate(found)
  if (why !== null) return [report.damage({ ...at, problem, meaning: `Not the torn end of the last write: ${why}${late}.` })]
  return [{ ...at, group: report.group, severity: 'torn', problem, meaning: tornMeaning(contents), command: remedy.torn(report) }]
}

function tornMeaning({ identity }: GroupContents): string {
  const lost =
    'The half-written end of the last write: it was not synced yet, so nothing in it was ever acknowledged, unless the node ran with --unsafe-sync. A start cuts it.'
  return identity.state === 'missing' ? 'The half-written end of the last write. braft cuts it when it starts.' : lost
}

export function markOf({ durable }: GroupContents) {
  return durable.newest === null ? null : durable.values[durable.newest]!
}

const PROBLEMS: Partial<Record<string, string>> = {
  'short header': 'fewer bytes than a header',
  'short data': 'the data of the entry is cut short',
  'header checksum': 'the checksum of the header does not match',
  'data checksum': 'the checksum of the data does not match',
  'checksum type': 'the header names no known checksum',
  'entry type': 'the header names no known type of entry',
  'term went back': 'its term is lower than the one before it',
}

function describeProblem(file: SegmentFile): string {
  const { problem } = file.result
  if (problem === null) return 'the mark of the end of an open segment'
  if ((problem === 'header checksum' || problem === 'short header') && file.isZeroFrom(file.segment.bytes)) return 'nothing but zeros'
  return PROBLEMS[problem!] ?? problem!
}

/** Within a segment the scan sees to it. */
function checkTerms({ segment, path }: SegmentFile, lastTerm: Term, report: Report): Finding[] {
  if (segment.count === 0) return []
  const term = segment.termAt(segment.firstIndex)
  if (term >= lastTerm) return []
  const problem = `its first entry is of term ${term}, the segment before ends in term ${lastTerm}`
  return [
    report.damage({
      kind: 'term-went-back',
      file: path,
      offset: 0,
      index: segment.firstIndex,
      problem,
      meaning: 'Terms never fall in a log: one of the two segments is from another log.',
    }),
  ]
}

/** The log may not end below what was durable. */
function checkBound(contents: GroupContents, report: Report): Finding[] {
  const mark = markOf(contents)
  const last = lastIndexOf(contents)
  if (mark === null || mark.lastIndex < firstIndexOf(contents) || last >= mark.lastIndex) return []
  const file = contents.segments.at(-1)?.path ?? filesOf(contents.place.directory).log
  const problem = `the log ends at index ${last}, but entries up to ${mark.lastIndex} were durable`
  return [
    report.damage({
      kind: 'lost-entries',
      file,
      offset: contents.segments.at(-1)?.segment.bytes ?? null,
      index: plus(last, 1),
      problem,
      meaning: 'Entries that this member acknowledged are gone.',
    }),
  ]
}

/** What the log no longer holds has to be in a snapshot. */
function checkStart(contents: GroupContents, report: Report): Finding[] {
  const first = firstIndexOf(contents)
  const snapshot = contents.snapshots.at(-1)
  const covered = snapshot?.meta?.lastIncluded.index ?? snapshot?.index ?? 0
  if (first <= covered + 1) return []
  const what = covered === 0 ? 'there is no snapshot' : `the newest snapshot ends at ${covered}`
  const problem = `the log starts at index ${first}, and ${what}: entries ${covered + 1} to ${first - 1} are nowhere`
  return [
    report.damage({
      kind: 'hole',
      file: filesOf(contents.place.directory).logMeta,
      offset: 0,
      index: plus(logIndex(covered), 1),
      problem,
      meaning: 'The state machine cannot be built up again from here.',
    }),
  ]
}
