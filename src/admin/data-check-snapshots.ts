import { join } from 'node:path'
import { type LogIndex, logIndex, plus } from '../raft/types.js'
import { firstIndexOf, lastIndexOf } from './data-check-log.js'
import type { GroupContents } from './data-contents.js'
import type { Finding } from './data-findings.js'
import { type MachineCheck, machineCheck } from './data-machines.js'
import type { Report } from './data-remedies.js'
import { crcOfFile, recordedCrc, type SnapshotContents, type SnapshotFileContents } from './data-snapshots.js'

const LOST = 'The state machine cannot be restored from it.'

/** What is wrong with the snapshots of a group: their lists, their files, and how they fit the log. */
export function checkSnapshots(contents: GroupContents, report: Report): Finding[] {
  const machine = machineCheck(contents.place.machine ?? null)
  const newest = contents.snapshots.at(-1)
  return contents.snapshots.flatMap((snapshot) => {
    const findings = [
      ...checkList(snapshot, contents, report),
      ...snapshot.files.flatMap((file) => checkFile(snapshot, file, report, machine)),
    ]
    return snapshot === newest ? [...findings, ...checkAgainstLog(snapshot, contents, report)] : findings
  })
}

function checkList(
  { metaFile, problem, meta, index, listDigest }: SnapshotContents,
  { listSeals }: GroupContents,
  report: Report,
): Finding[] {
  const at = { kind: 'snapshot-list', file: metaFile, offset: 0, index }
  if (problem !== null)
    return [
      report.damage({
        ...at,
        offset: problem === 'it is missing' ? null : 0,
        problem,
        meaning: `It lists the files of the snapshot. ${LOST}`,
      }),
    ]
  if (meta!.lastIncluded.index !== index)
    return [
      report.damage({
        ...at,
        problem: `it ends at index ${meta!.lastIncluded.index}, its directory is named ${index}`,
        meaning: 'The list is damaged, or the directory was renamed.',
      }),
    ]
  if (meta!.lastIncluded.term < 1)
    return [report.damage({ ...at, problem: `it is of term ${meta!.lastIncluded.term}`, meaning: 'The list is damaged.' })]
  const seal = listSeals.newest === null ? undefined : listSeals.values[listSeals.newest]!.find((each) => each.index === index)
  if (seal === undefined || seal.digest === listDigest) return []
  const sealed = `its digest is ${hex(listDigest)}, ${hex(seal.digest)} was recorded when it was written`
  return [report.damage({ ...at, problem: sealed, meaning: `Its files, its term or its members are not those of then. ${LOST}` })]
}

function checkFile(
  snapshot: SnapshotContents,
  { name, bytes, recordedBytes, checksum }: SnapshotFileContents,
  report: Report,
  machine: MachineCheck | null,
): Finding[] {
  const file = join(snapshot.path, name)
  const at = { file, offset: null, index: snapshot.index }
  if (bytes === null) return [report.damage({ ...at, kind: 'snapshot-file', problem: 'it is listed and missing', meaning: LOST })]
  if (recordedBytes !== null && bytes !== recordedBytes) {
    const problem = `it has ${bytes} bytes, ${recordedBytes} were recorded when it was taken`
    return [report.damage({ ...at, offset: Math.min(bytes, recordedBytes), kind: 'snapshot-file', problem, meaning: LOST })]
  }
  const inside = machine?.(file) ?? null
  if (inside) return [report.damage({ ...at, offset: inside.offset, kind: 'snapshot-file', problem: inside.problem, meaning: LOST })]
  const recorded = recordedCrc(checksum)
  if (recorded === null) return []
  const crc = crcOfFile(file)
  if (crc === recorded) return []
  const problem = `its CRC-32C is ${hex(crc)}, ${hex(recorded)} was recorded when it was taken`
  return [report.damage({ ...at, kind: 'snapshot-file', problem, meaning: `Somewhere in its ${bytes} bytes it changed. ${LOST}` })]
}

function checkAgainstLog(snapshot: SnapshotContents, contents: GroupContents, report: Report): Finding[] {
  if (!snapshot.meta) return []
  const { index, term } = snapshot.meta.lastIncluded
  const inLog = termAt(contents, index)
  if (inLog === null || inLog === term) return []
  const problem = `it ends in term ${term}, the log has entry ${index} in term ${inLog}`
  const last = lastIndexOf(contents)
  return [
    report.damage({
      kind: 'snapshot-term',
      file: snapshot.metaFile,
      offset: 0,
      index,
      problem,
      meaning: `Log and snapshot are of different histories: entries ${plus(index, 1)} to ${last} cannot be trusted.`,
    }),
  ]
}

function termAt(contents: GroupContents, index: LogIndex): number | null {
  if (index < firstIndexOf(contents) || index > lastIndexOf(contents)) return null
  const file = contents.segments.find(({ segment }) => segment.count > 0 && segment.firstIndex <= index && segment.lastIndex >= index)
  return file ? file.segment.termAt(logIndex(index)) : null
}

function hex(crc: number | null): string {
  return crc === null ? 'unknown' : crc.toString(16).padStart(8, '0')
}
