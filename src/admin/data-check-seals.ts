import { checksum } from '../storage/checksum.js'
import type { SegmentFile } from '../storage/segment-file.js'
import { filesOf, type GroupContents } from './data-contents.js'
import type { Finding } from './data-findings.js'
import type { Report } from './data-remedies.js'

/**
 * Holds what is written once to what vouches for it: sealed segments, and where the log starts. Entries do not say which index they
 * have: a segment in which a write was lost or landed in the wrong place may still consist of good entries.
 */
export function checkSeals(contents: GroupContents, report: Report): Finding[] {
  const { seals, segments } = contents
  if (!seals) return []
  return [
    ...checkRecords(contents, report),
    ...checkStartRecord(contents, report),
    ...segments.flatMap((segment) => checkDigest(segment, contents, report)),
  ]
}

function checkRecords({ seals, place }: GroupContents, report: Report): Finding[] {
  const [first] = seals!.badRecords
  if (first === undefined) return []
  return [
    report.warning({
      ...{ kind: 'seals', file: filesOf(place.directory).seals, offset: first, index: null },
      problem: `${seals!.badRecords.length} of its records are damaged`,
      meaning: 'What they vouched for is believed. The next start writes them anew.',
    }),
  ]
}

/** A crash may have come between the record and log_meta: the one before counts as well. */
function checkStartRecord({ seals, logFirstIndex, place }: GroupContents, report: Report): Finding[] {
  const starts = seals!.starts.slice(-2)
  if (logFirstIndex.state !== 'valid' || starts.length === 0 || starts.includes(logFirstIndex.value)) return []
  return [
    report.damage({
      ...{ kind: 'log-meta', file: filesOf(place.directory).logMeta, offset: 0, index: logFirstIndex.value },
      problem: `the log would start at index ${logFirstIndex.value}, it was made to start at ${starts.at(-1)}`,
      meaning: 'It has no checksum of its own. A wrong start deletes segments, or misses some.',
    }),
  ]
}

/** What the name or an entry gives away was said already. */
function checkDigest({ segment, result, name, path }: SegmentFile, { seals }: GroupContents, report: Report): Finding[] {
  if (name.lastIndex === null || result.problem !== null || segment.lastIndex !== name.lastIndex) return []
  const seal = seals!.segments.findLast(({ firstIndex, lastIndex }) => firstIndex === name.firstIndex && lastIndex === name.lastIndex)
  if (seal === undefined || seal.digest === segment.digest(checksum)) return []
  return [
    report.damage({
      ...{ kind: 'sealed-entries', file: path, offset: 0, index: name.firstIndex },
      problem: `its ${segment.count} entries, up to index ${name.lastIndex} at byte ${segment.bytes}, are not those that were sealed`,
      meaning: 'Each is whole, but some stand where others were: a write was lost, or one landed in the wrong place.',
    }),
  ]
}
