import { braft } from '../generated/braft.js'
import type { Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { SNAPSHOT_LIST } from '../raft/storage.js'
import { fromInt64 } from '../raft/types.js'
import { optional, required } from './json-message.js'
import type { NodeManager } from './node-manager.js'
import { type Reply, type RpcService, rpcMethod } from './service.js'

/** Copies that are remembered; the oldest is forgotten, and starts its next file at 0 like any new one. */
const COPIES_MAX = 1024
const SEGMENT_HEADER_BYTES = 12

const FILE_REQUEST = {
  reader_id: required('int64'),
  filename: required('string'),
  count: required('int64'),
  offset: required('int64'),
  read_partly: optional('bool'),
}

/** How far a braft member is with copying one snapshot: it reads one file after the other, from its start to its end. */
interface Copy {
  busy: boolean
  file: string | null
  isAtEnd: boolean
}

type Piece = { readonly data: Buffer; readonly eof: boolean }

/**
 * braft.FileService: braft members fetch snapshots by it. The bytes travel in the attachment as FileSegData, one segment:
 * u64 offset, u32 length, bytes. Where there is no attachment, over HTTP, they are the whole answer, and JSON when there are none.
 *
 * As braft: a reader is asked for one piece at a time (EAGAIN), a file from offset 0 on and to its end before
 * the next one (EINVAL). The list of files comes whole, whatever range is asked for, and disturbs nothing.
 */
export function fileService(nodes: NodeManager, executor: Executor): RpcService {
  const copies = new Copies()
  return {
    name: 'braft.FileService',
    methods: {
      get_file: rpcMethod({
        request: braft.GetFileRequest,
        response: braft.GetFileResponse,
        json: { request: FILE_REQUEST, response: { eof: required('bool'), read_size: optional('int64') } },
        handle: (request, _context, done) => executor.post(() => getFile(nodes, copies, request, done), 'get_file'),
      }),
    },
  }
}

class Copies {
  private readonly known = new Map<string, Copy>()

  of(readerId: string): Copy {
    let copy = this.known.get(readerId)
    if (!copy) {
      copy = { busy: false, file: null, isAtEnd: true }
      this.known.set(readerId, copy)
      if (this.known.size > COPIES_MAX) this.known.delete(this.known.keys().next().value!)
    }
    return copy
  }

  forget(readerId: string): void {
    this.known.delete(readerId)
  }
}

function getFile(nodes: NodeManager, copies: Copies, request: braft.GetFileRequest, done: Reply<braft.GetFileResponse.$Properties>): void {
  const readerId = String(request.reader_id)
  const offset = fromInt64(request.offset)
  const count = fromInt64(request.count)
  const { filename } = request
  const isList = filename === SNAPSHOT_LIST
  const copy = copies.of(readerId)
  if (copy.busy && !isList) return done(Status.error(ErrorCode.EAGAIN, 'reader is being read'))
  const refusal = isList || count <= 0 || offset < 0 ? null : outOfOrder(copy, filename, offset)
  if (!isList) copy.busy = true
  // A refused order is told only to those whose reader and file are there; so braft looks at these first.
  read(nodes.all(), { readerId, filename, offset, count }, (status, piece) => {
    if (!isList) copy.busy = false
    if (status.code === ErrorCode.ENOENT) copies.forget(readerId)
    const outcome = status.ok ? (refusal ?? status) : status
    if (!outcome.ok) return done(outcome)
    if (!isList) Object.assign(copy, { file: filename, isAtEnd: piece!.eof })
    const data = isList ? withoutVouchers(piece!.data) : piece!.data
    done(Status.OK, { eof: piece!.eof, read_size: data.length }, segment(offset, data))
  })
}

/**
 * braft keeps what we vouch for beside its copy and never looks at it again, while its machines may go on writing a file that
 * they loaded (its block example does). It would hand on what then looks damaged.
 */
function withoutVouchers(list: Buffer): Buffer {
  const decoded = braft.LocalSnapshotPbMeta.decode(list)
  for (const { meta } of decoded.files) if (meta) Object.assign(meta, { checksum: null, size: null })
  return Buffer.from(braft.LocalSnapshotPbMeta.encode(decoded).finish())
}

function outOfOrder(copy: Copy, filename: string, offset: number): Status | null {
  if (copy.file === filename) return null
  if (!copy.isAtEnd) return Status.error(ErrorCode.EINVAL, `${copy.file} was not read to its end`)
  return offset === 0 ? null : Status.error(ErrorCode.EINVAL, `${filename} is read from its start on`)
}

/** The reader belongs to one of the nodes here; ENOENT when to none. */
function read(
  nodes: readonly ReturnType<NodeManager['all']>[number][],
  ask: { readerId: string; filename: string; offset: number; count: number },
  done: (status: Status, piece?: Piece) => void,
): void {
  const [node, ...others] = nodes
  if (!node) return done(Status.error(ErrorCode.ENOENT, `no reader ${ask.readerId}`))
  node.readFile(ask.readerId, ask.filename, ask.offset, ask.count, (status, piece) => {
    if (status.code === ErrorCode.ENOENT) read(others, ask, done)
    else done(status, piece)
  })
}

function segment(offset: number, data: Buffer): Buffer {
  if (data.length === 0) return data
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES)
  header.writeBigUInt64BE(BigInt(offset), 0)
  header.writeUInt32BE(data.length, 8)
  return Buffer.concat([header, data])
}
