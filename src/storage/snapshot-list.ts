import { braft } from '../generated/braft.js'
import { Configuration, ConfigurationEntry } from '../raft/configuration.js'
import { PeerId } from '../raft/peer-id.js'
import { SNAPSHOT_LIST, type SnapshotFileMeta, type SnapshotList, type SnapshotMeta } from '../raft/storage.js'
import { asTerm, fromInt64, logIndex } from '../raft/types.js'
import type { MessageCodec } from './protobuf-file.js'

const NAME_BYTES_MAX = 4096
const SEGMENT_BYTES_MAX = 255

/** Why a file of a snapshot may not be called so; null when it may. Names come from peers: none leaves the directory. */
export function problemOfName(name: string): string | null {
  if (name === '') return 'is empty'
  if (Buffer.byteLength(name) > NAME_BYTES_MAX) return 'is too long'
  if (name.includes('\0')) return 'holds a zero byte'
  const segments = name.split('/')
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) return 'leaves the directory of the snapshot'
  if (segments.some((segment) => Buffer.byteLength(segment) > SEGMENT_BYTES_MAX)) return 'is too long'
  if (segments[0] === SNAPSHOT_LIST || segments[0] === `${SNAPSHOT_LIST}.tmp`) return 'is the name of the list of files'
  return null
}

/** braft's LocalSnapshotPbMeta as the engine sees it. What is no list, or holds a forbidden name, does not decode. */
export const SNAPSHOT_LIST_CODEC: MessageCodec<SnapshotList> = {
  encode: ({ meta, files }) => {
    const { conf, old, learners, configIndex } = meta.configuration
    return braft.LocalSnapshotPbMeta.encode({
      meta: {
        last_included_index: meta.lastIncluded.index,
        last_included_term: meta.lastIncluded.term,
        peers: conf.peers.map(String),
        old_peers: old.peers.map(String),
        learners: learners.map(String),
        // As braft writes it where it says no more than braft's reader assumes.
        ...(configIndex === meta.lastIncluded.index ? {} : { config_index: configIndex }),
      },
      files: [...files].sort(byName).map(([name, file]) => ({ name, meta: fileMessage(file) })),
    })
  },
  decode: (bytes) => {
    const message = braft.LocalSnapshotPbMeta.decode(bytes)
    if (!message.meta) throw new Error('no SnapshotMeta')
    const files = new Map<string, SnapshotFileMeta>()
    for (const { name, meta } of message.files) {
      const problem = problemOfName(name)
      if (problem) throw new Error(`the name "${name}" ${problem}`)
      if (files.has(name)) throw new Error(`"${name}" is listed twice`)
      files.set(name, fileMetaOf(meta))
    }
    return { meta: snapshotMetaOf(message.meta), files: new Map([...files].sort(byName)) }
  },
}

/** In order of bytes, as braft's std::map keeps them. */
function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function fileMessage(file: SnapshotFileMeta): braft.LocalFileMeta.$Properties {
  return {
    ...(file.userMeta === undefined ? {} : { user_meta: file.userMeta }),
    ...(file.checksum === undefined ? {} : { checksum: file.checksum }),
    ...(file.size === undefined ? {} : { size: file.size }),
  }
}

function fileMetaOf(message: braft.LocalFileMeta.$Properties | null | undefined): SnapshotFileMeta {
  const userMeta = message?.user_meta
  const size = message?.size == null ? null : safe(message.size, 'size')
  return {
    ...(userMeta == null ? {} : { userMeta: Buffer.from(userMeta) }),
    ...(message?.checksum == null ? {} : { checksum: message.checksum }),
    ...(size === null ? {} : { size }),
  }
}

function snapshotMetaOf(message: braft.SnapshotMeta.$Properties): SnapshotMeta {
  const lastIncluded = {
    index: logIndex(safe(message.last_included_index, 'last_included_index')),
    term: asTerm(safe(message.last_included_term, 'last_included_term')),
  }
  const configIndex = message.config_index == null ? lastIncluded.index : logIndex(safe(message.config_index, 'config_index'))
  const configuration = new ConfigurationEntry(
    lastIncluded,
    new Configuration(peersOf(message.peers)),
    new Configuration(peersOf(message.old_peers)),
    peersOf(message.learners),
    configIndex,
  )
  return { lastIncluded, configuration }
}

function peersOf(texts: readonly string[] | null | undefined): PeerId[] {
  return (texts ?? []).map((text) => {
    const peer = PeerId.parse(text)
    if (!peer) throw new Error(`"${text}" is no peer`)
    return peer
  })
}

function safe(value: Parameters<typeof fromInt64>[0], field: string): number {
  const number = fromInt64(value)
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${field} is out of range`)
  return number
}
