import type { raftctl } from '../generated/raftctl.js'
import { ErrorCode, type Status } from '../raft/errors.js'
import type { EntryBatch } from '../raft/log-entry.js'
import { type LogIndex, plus } from '../raft/types.js'
import { asFailure, DEFAULT_GROUP, nodeOf, unary, usage } from './control-common.js'
import type { Control } from './control-definition.js'
import type { ControlHost, ControlledNode } from './control-host.js'
import type { Handlers } from './grpc.js'
import { type LogRecordFields, READ_BYTES, readFailure, recordOf, TYPE_NAMES } from './log-record.js'
import { LogStream } from './log-stream.js'

const LARGEST = 10
/** The log may be cut, or its end replaced, while it is counted. */
const COUNT_ATTEMPTS = 5

/** The log, entry by entry and in numbers. */
export function logHandlers(host: ControlHost): Pick<Handlers<(typeof Control)['methods']>, 'ReadLog' | 'LogStats'> {
  return {
    ReadLog: (call) => {
      try {
        const node = nodeOf(host, call.request.group)
        new LogStream(host, node, call, wantedTypes(call.request.types)).start()
      } catch (refusal) {
        call.fail(asFailure(refusal as Error))
      }
    },
    LogStats: unary((request) => stats(host, nodeOf(host, request.group))),
  }
}

function wantedTypes(names: readonly string[]): ReadonlySet<number> | null {
  if (names.length === 0) return null
  return new Set(
    names.map((name) => {
      const type = Object.keys(TYPE_NAMES).find((known) => TYPE_NAMES[Number(known)] === name)
      if (type === undefined) throw usage(`"${name}" is no type of log entry: data, configuration or no_op`)
      return Number(type)
    }),
  )
}

interface Count {
  entries: number
  bytes: number
  readonly entriesByType: Record<string, number>
  readonly bytesByType: Record<string, number>
  largest: { readonly index: LogIndex; readonly bytes: number; readonly record: LogRecordFields }[]
}

/** Reads the whole log, a piece at a time: other work goes on in between. */
async function stats(host: ControlHost, node: ControlledNode): Promise<raftctl.v1.LogStatsResponse.$Properties> {
  for (let attempt = 1; ; attempt++) {
    const { firstIndex, lastId, snapshotId, groupId } = node.status()
    const counted = await count(host, node, firstIndex, lastId.index)
    if ('status' in counted) {
      const hasMoved =
        counted.status.code === ErrorCode.ELOGDELETED ||
        counted.status.code === ErrorCode.ECANCELED ||
        counted.status.code === ErrorCode.ERANGE
      if (hasMoved && attempt < COUNT_ATTEMPTS) continue
      throw readFailure(node, firstIndex, counted.status)
    }
    return {
      first_index: firstIndex,
      last_index: lastId.index,
      entries: counted.entries,
      bytes: counted.bytes,
      segments: await host.logSegments(groupId || DEFAULT_GROUP),
      bytes_by_type: counted.bytesByType,
      entries_by_type: counted.entriesByType,
      snapshot_index: snapshotId.index,
      largest: counted.largest.map(({ record }) => record),
    }
  }
}

async function count(
  host: ControlHost,
  node: ControlledNode,
  first: LogIndex,
  last: LogIndex,
): Promise<Count | { readonly status: Status }> {
  const found: Count = { entries: 0, bytes: 0, entriesByType: {}, bytesByType: {}, largest: [] }
  for (let next = first; next <= last; ) {
    const { status, batch } = await readBatch(host, node, next, last)
    if (!batch) return { status }
    addTo(found, batch, { host, status: node.status(), withData: false })
    next = plus(batch.lastIndex, 1)
  }
  return found
}

function readBatch(host: ControlHost, node: ControlledNode, from: LogIndex, last: LogIndex) {
  return new Promise<{ status: Status; batch: EntryBatch | null }>((resolve) =>
    host.executor.post(() => node.readLog(from, last, READ_BYTES, (status, batch) => resolve({ status, batch: batch ?? null })), 'control'),
  )
}

function addTo(found: Count, batch: EntryBatch, view: Parameters<typeof recordOf>[1]): void {
  for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1)) {
    const type = TYPE_NAMES[batch.typeAt(index)]!
    const bytes = batch.byteLengthAt(index)
    found.entries++
    found.bytes += bytes
    found.entriesByType[type] = (found.entriesByType[type] ?? 0) + 1
    found.bytesByType[type] = (found.bytesByType[type] ?? 0) + bytes
    const { largest } = found
    if (largest.length === LARGEST && largest.at(-1)!.bytes >= bytes) continue
    const at = largest.findIndex((other) => other.bytes < bytes)
    largest.splice(at < 0 ? largest.length : at, 0, { index, bytes, record: recordOf({ batch, index }, view) })
    largest.length = Math.min(largest.length, LARGEST)
  }
}
