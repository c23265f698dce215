import type { braft } from '../generated/braft.js'
import { Configuration, ConfigurationEntry, encodeConfiguration } from '../raft/configuration.js'
import type { Checksum } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { EntryBatch, EntryType, type NewEntry } from '../raft/log-entry.js'
import type { AppendEntriesResponse, RequestVoteResponse, TermLeader } from '../raft/messages.js'
import { PeerId } from '../raft/peer-id.js'
import type { SnapshotMeta } from '../raft/storage.js'
import { asTerm, fromInt64, type LogIndex, logIndex, plus, type Term } from '../raft/types.js'
import type { CallContext } from './service.js'

/** braft's messages and the engine's: what a braft node sends is checked here before the engine sees it. */

/** A request that cannot be what its sender meant; the handler answers with `status`. */
export class BadRequest extends Error {
  override name = 'BadRequest'

  constructor(readonly status: Status) {
    super(status.message)
  }
}

type Int64 = Parameters<typeof fromInt64>[0]

export function termOf(value: Int64, field = 'term'): Term {
  return asTerm(checked(value, field))
}

export function indexOf(value: Int64, field: string): LogIndex {
  return logIndex(checked(value, field))
}

function checked(value: Int64, field: string): number {
  const number = fromInt64(value)
  if (!Number.isSafeInteger(number) || number < 0) throw new BadRequest(Status.error(ErrorCode.EREQUEST, `${field} is out of range`))
  return number
}

/** A PeerId, or BadRequest with `code`. */
export function peerOf(text: string, field: string, code: ErrorCode): PeerId {
  const peer = PeerId.parse(text)
  if (!peer) throw new BadRequest(Status.error(code, `Fail to parse ${field}=${text}`))
  return peer
}

export function termLeaderOf(message: braft.TermLeader.$Properties | null | undefined): TermLeader | null {
  return message ? { peerId: peerOf(message.peer_id, 'disrupted_leader', ErrorCode.EINVAL), term: termOf(message.term) } : null
}

/**
 * The entries of an append request as segment bytes; null when there are none. Their data is in the attachment, in order.
 * braft cuts it without looking; here lengths that do not add up refuse the request, so that no entry is stored with
 * another's data, or with none.
 */
export function entriesOf(message: braft.AppendEntriesRequest, context: CallContext, checksum: Checksum): EntryBatch | null {
  const lengths = message.entries.map((entry) => checked(entry.data_len ?? 0, 'data_len'))
  const announced = lengths.reduce((sum, length) => sum + length, 0)
  if (context.protocol !== 'baidu_std' && announced > 0) {
    throw new BadRequest(
      Status.error(ErrorCode.EINVAL, 'entries with data come by baidu_std only: no other protocol carries their attachment'),
    )
  }
  if (announced !== context.attachment.length) {
    const text = `the entries' data_len add up to ${announced} bytes, the attachment has ${context.attachment.length}`
    throw new BadRequest(Status.error(ErrorCode.EREQUEST, text))
  }
  if (lengths.length === 0) return null

  const batches: EntryBatch[] = []
  let run: NewEntry[] = []
  let first = plus(indexOf(message.prev_log_index, 'prev_log_index'), 1)
  let at = 0
  message.entries.forEach((entry, i) => {
    run.push(entryOf(entry, context.attachment.subarray(at, (at += lengths[i]!))))
    const following = message.entries[i + 1]
    const term = termOf(entry.term)
    if (following && termOf(following.term) === term) return
    batches.push(EntryBatch.encode(first, term, run, checksum))
    first = plus(first, run.length)
    run = []
  })
  const batch = EntryBatch.concat(batches)
  const misplaced = batch.misplaced(termOf(message.prev_log_term, 'prev_log_term'), termOf(message.term))
  if (misplaced) throw new BadRequest(Status.error(ErrorCode.EREQUEST, misplaced))
  return batch
}

function entryOf(meta: braft.EntryMeta.$Properties, data: Buffer): NewEntry {
  switch (meta.type) {
    case EntryType.DATA:
      // As braft sends it to a witness; whoever is none refuses it.
      return { type: EntryType.DATA, data, bare: (meta.data_len ?? null) === null }
    case EntryType.NO_OP:
    case EntryType.CONFIGURATION:
      if (data.length > 0) throw new BadRequest(Status.error(ErrorCode.EREQUEST, 'only a data entry has data'))
      return meta.type === EntryType.NO_OP
        ? { type: EntryType.NO_OP, data }
        : { type: EntryType.CONFIGURATION, data: configurationData(meta) }
    default:
      throw new BadRequest(Status.error(ErrorCode.EREQUEST, `an entry of unknown type ${meta.type}`))
  }
}

function configurationData(meta: braft.EntryMeta.$Properties): Buffer {
  const peers = (texts: readonly string[] | null | undefined) => (texts ?? []).map((text) => peerOf(text, 'peers', ErrorCode.EREQUEST))
  const conf = new Configuration(peers(meta.peers))
  if (conf.isEmpty) throw new BadRequest(Status.error(ErrorCode.EREQUEST, 'a configuration entry without peers'))
  return encodeConfiguration({ conf, old: new Configuration(peers(meta.old_peers)), learners: peers(meta.learners) })
}

export function voteResponseMessage(response: RequestVoteResponse): braft.RequestVoteResponse.$Properties {
  return {
    term: response.term,
    granted: response.granted,
    disrupted: response.disrupted,
    previous_term: response.previousTerm,
    rejected_by_lease: response.rejectedByLease,
  }
}

/** As braft answers: a success with entries says no more than that, a failure always says where the log ends. */
export function appendResponseMessage(response: AppendEntriesResponse, hadEntries: boolean): braft.AppendEntriesResponse.$Properties {
  const { term, success, lastLogIndex, readonly } = response
  if (success && hadEntries) return { term, success }
  if (!success) return { term, success, last_log_index: lastLogIndex }
  // Whose disk runs short says so by refusing entries; a braft leader would stop sending until it hears otherwise.
  return { term, success, last_log_index: lastLogIndex, readonly }
}

export function snapshotMetaMessage({ lastIncluded, configuration }: SnapshotMeta): braft.SnapshotMeta.$Properties {
  const { conf, old, learners, configIndex } = configuration
  return {
    last_included_index: lastIncluded.index,
    last_included_term: lastIncluded.term,
    peers: conf.peers.map(String),
    old_peers: old.peers.map(String),
    learners: learners.map(String),
    config_index: configIndex,
  }
}

/** `parse` throws on what is no PeerId. braft's snapshots say nothing of when the members last changed. */
export function snapshotMetaOf(message: braft.SnapshotMeta.$Properties, parse: (text: string) => PeerId): SnapshotMeta {
  const lastIncluded = {
    index: indexOf(message.last_included_index, 'last_included_index'),
    term: termOf(message.last_included_term, 'last_included_term'),
  }
  const peers = (texts: readonly string[] | null | undefined) => (texts ?? []).map((text) => parse(text))
  const configIndex = message.config_index == null ? lastIncluded.index : indexOf(message.config_index, 'config_index')
  const configuration = new ConfigurationEntry(
    lastIncluded,
    new Configuration(peers(message.peers)),
    new Configuration(peers(message.old_peers)),
    peers(message.learners),
    configIndex,
  )
  return { lastIncluded, configuration }
}
