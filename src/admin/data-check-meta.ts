import { describeMeta, isOlderMeta, isSameMeta } from '../storage/raft-meta.js'
import { lastTermOf } from './data-check-log.js'
import { filesOf, type GroupContents, type SlotPair } from './data-contents.js'
import type { Finding } from './data-findings.js'
import type { Report } from './data-remedies.js'

const VOTE_MATTERS = 'A wrong term or vote could elect two leaders in a term.'

/** What is wrong with who the directory is, with its term and vote, and with the bound of its durable log. */
export function checkMeta(contents: GroupContents, report: Report): Finding[] {
  const isOurs = report.directory.kind === 'raftctl'
  return [
    ...(isOurs ? [...checkIdentity(contents, report), ...checkSlots(contents, report), ...checkDurable(contents, report)] : []),
    ...checkRaftMeta(contents, report),
    ...checkTerm(contents, report),
  ]
}

function checkIdentity({ identity, place, segments, raftMeta }: GroupContents, report: Report): Finding[] {
  const at = { kind: 'identity', file: filesOf(place.directory).identity, offset: null, index: null }
  if (identity.state === 'damaged')
    return [
      report.damage({
        ...at,
        offset: 0,
        problem: identity.problem,
        meaning: 'It says which member of which cluster this is, and whether it may vote.',
      }),
    ]
  if (identity.state === 'valid' || (segments.length === 0 && raftMeta.state === 'missing')) return []
  return [
    report.damage({
      ...at,
      problem: 'missing beside a log or a term',
      meaning: 'The directory is of braft, or its identity was deleted: a start refuses it.',
    }),
  ]
}

/** A crash spoils the slot that was being written, which never is the newest one. */
function checkSlots({ metaSlots }: GroupContents, report: Report): Finding[] {
  if (metaSlots.newest !== null) return badSlots(metaSlots, report, 'meta-slot', 'the record of term and vote')
  if (metaSlots.slots.every(({ state }) => state === 'empty')) return []
  const which = metaSlots.slots.findIndex(({ state }) => state !== 'empty')
  const bothBad = metaSlots.slots.every(({ state }) => state !== 'empty')
  const facts = {
    kind: 'meta-slot',
    file: metaSlots.paths[which]!,
    offset: 0,
    index: null,
    problem: bothBad ? 'neither of the two records of term and vote is whole' : 'the only record of term and vote is not whole',
  }
  if (bothBad) return [report.damage({ ...facts, meaning: VOTE_MATTERS })]
  return [report.warning({ ...facts, meaning: 'A crash during the very first save leaves this.' })]
}

function badSlots<T>(pair: SlotPair<T>, report: Report, kind: string, what: string): Finding[] {
  return pair.slots.flatMap((slot, which) => {
    const isWhole = slot.state === 'empty' || (slot.state === 'valid' && pair.values[which as 0 | 1] !== null)
    if (isWhole) return []
    const offset = pair.paths[0] === pair.paths[1] && which === 1 ? 4096 : 0
    const problem = `the older of two copies of ${what} is not whole`
    const meaning = 'A crash while it was written leaves this; the newer copy counts, and the next save replaces it.'
    return [report.warning({ kind, file: pair.paths[which as 0 | 1], offset, index: null, problem, meaning })]
  })
}

function checkDurable({ durable, segments }: GroupContents, report: Report): Finding[] {
  if (durable.newest !== null) return badSlots(durable, report, 'durable-bound', 'the bound of the durable log')
  if (durable.slots.every(({ state }) => state === 'empty') && segments.length === 0) return []
  if (durable.slots.some(({ state }) => state === 'empty') && segments.every(({ segment }) => segment.count === 0)) return []
  const problem = 'no copy of the bound of the durable log is whole'
  const meaning = 'Without it damage near the end of the log cannot be told from a torn write. A start writes a new one.'
  return [report.warning({ kind: 'durable-bound', file: durable.paths[0], offset: 0, index: null, problem, meaning })]
}

function checkRaftMeta(contents: GroupContents, report: Report): Finding[] {
  const { raftMeta, metaSlots, place } = contents
  const at = { kind: 'raft-meta', file: filesOf(place.directory).raftMeta, offset: raftMeta.state === 'missing' ? null : 0, index: null }
  if (report.directory.kind === 'braft') {
    if (raftMeta.state === 'damaged') return [report.damage({ ...at, problem: raftMeta.problem, meaning: VOTE_MATTERS })]
    if (raftMeta.state === 'missing' && lastTermOf(contents) > 0)
      return [
        report.warning({
          ...at,
          problem: 'missing beside a log',
          meaning: 'braft goes on in the term after the last one in the log, its vote forgotten.',
        }),
      ]
    return []
  }
  if (metaSlots.newest === null) {
    if (raftMeta.state === 'missing') return []
    const problem =
      raftMeta.state === 'damaged' ? raftMeta.problem : `it says ${describeMeta(raftMeta.value)}, and no record of ours vouches for it`
    return [report.damage({ ...at, problem, meaning: VOTE_MATTERS })]
  }
  const newest = metaSlots.values[metaSlots.newest]!
  const before = metaSlots.values[metaSlots.newest === 0 ? 1 : 0]
  if (raftMeta.state === 'valid' && isSameMeta(raftMeta.value, newest)) return []
  const healed = `The checksummed record beside it says ${describeMeta(newest)}; a start goes by that and writes this file anew.`
  // The record is saved before the file: between the two a crash leaves the file one step behind.
  const oneBehind =
    raftMeta.state === 'missing' ? before === null : raftMeta.state === 'valid' && before !== null && isSameMeta(raftMeta.value, before)
  const said =
    raftMeta.state === 'valid' ? `it says ${describeMeta(raftMeta.value)}` : raftMeta.state === 'missing' ? 'missing' : raftMeta.problem
  if (oneBehind)
    return [report.warning({ ...at, problem: `${said}, one save behind`, meaning: `A crash between two writes leaves this. ${healed}` })]
  const refused = raftMeta.state === 'valid' && !isOlderMeta(raftMeta.value, newest)
  return [
    report.damage({
      ...at,
      problem: said,
      meaning: refused
        ? `Our newest record says ${describeMeta(newest)}. ${VOTE_MATTERS} A start refuses it; if braft ran on it since, start it once with --adopt.`
        : `Its bytes changed, or a write of them failed. ${healed}`,
    }),
  ]
}

function checkTerm(contents: GroupContents, report: Report): Finding[] {
  const { raftMeta, metaSlots, place } = contents
  const meta = metaSlots.newest !== null ? metaSlots.values[metaSlots.newest]! : raftMeta.state === 'valid' ? raftMeta.value : null
  const lastTerm = lastTermOf(contents)
  if (meta === null || meta.term >= lastTerm) return []
  const problem = `term ${meta.term} is older than the log, which ends in term ${lastTerm}`
  const meaning = `Terms are stored before their entries, so a newer one was lost. A start goes on in term ${lastTerm + 1} without a vote.`
  return [report.warning({ kind: 'old-term', file: filesOf(place.directory).raftMeta, offset: 0, index: null, problem, meaning })]
}
