import { braft } from '../generated/braft.js'
import type { Call, Checksum } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { GetFileRequest, GetFileResponse } from '../raft/messages.js'
import { SNAPSHOT_LIST } from '../raft/storage.js'
import type { BaiduStdClient } from './baidu-std-client.js'
import { plainStatus } from './braft-error.js'
import { decodeFile } from './braft-requests.js'
import { toInt64 } from './int64.js'
import type { Settle } from './timed-call.js'

interface Ask extends Pick<GetFileRequest, 'filename' | 'offset' | 'count'> {
  /** Null: given up by whoever asked. */
  settle: Settle<GetFileResponse> | null
}

/** A place behind the end of every file: reading there brings a reader of braft to the end of its file. */
const BEHIND_THE_END = 2 ** 40

/**
 * Reads a snapshot of a braft member by get_file, as its reader wants it: one piece at a time, a file from its start on, and
 * another file only after the end of the one before. The engine asks for pieces ahead, and for those that an interrupted copy
 * still lacks; here they wait for each other, and a file is begun and ended where the order demands it.
 */
export class BraftFileReader {
  private readonly queue: Ask[] = []
  private current: Ask | null = null
  private file: string | null = null
  private isAtEnd = true

  constructor(
    private readonly client: BaiduStdClient,
    private readonly readerId: string,
    private readonly checksum: Checksum,
  ) {}

  read({ filename, offset, count }: GetFileRequest, settle: Settle<GetFileResponse>): Call {
    const ask: Ask = { filename, offset, count, settle }
    this.queue.push(ask)
    this.next()
    // What is under way is waited for: the reader answers one at a time.
    return { cancel: () => void (ask.settle = null) }
  }

  private next(): void {
    while (!this.current) {
      const ask = this.queue.shift()
      if (!ask) return
      if (!ask.settle) continue
      this.current = ask
      this.begin(ask)
    }
  }

  private begin(ask: Ask): void {
    const { filename, offset } = ask
    const isOther = filename !== SNAPSHOT_LIST && filename !== this.file
    if (isOther && !this.isAtEnd)
      return this.get({ filename: this.file!, offset: BEHIND_THE_END, count: 1 }, (status) =>
        status.ok ? this.begin(ask) : this.finish(status),
      )
    if (isOther && offset > 0)
      return this.get({ filename, offset: 0, count: 1 }, (status) => (status.ok ? this.begin(ask) : this.finish(status)))
    this.get(ask, (status, piece) => this.finish(status, piece))
  }

  private finish(status: Status, piece?: GetFileResponse): void {
    const { settle } = this.current!
    this.current = null
    settle?.(status, piece)
    this.next()
  }

  private get({ filename, offset, count }: Pick<Ask, 'filename' | 'offset' | 'count'>, done: Settle<GetFileResponse>): void {
    const message = braft.GetFileRequest.encode({
      reader_id: toInt64(BigInt(this.readerId)),
      filename,
      count,
      offset,
      read_partly: true,
    }).finish()
    this.client.call({ service: 'braft.FileService', method: 'get_file', message, timeoutMs: TIMEOUT_MS }, (status, answer) => {
      if (!status.ok) return done(plainStatus(status))
      let piece: ReturnType<typeof decodeFile>
      try {
        piece = decodeFile(answer!.message, answer!.attachment, { offset, count })
      } catch (error) {
        piece = Status.error(ErrorCode.EREQUEST, `unreadable answer: ${(error as Error).message}`)
      }
      if (piece instanceof Status) return done(piece)
      if (filename !== SNAPSHOT_LIST) {
        this.file = filename
        this.isAtEnd = piece.eof
      }
      done(Status.OK, { ...piece, crc32c: this.checksum.crc32c(piece.data) })
    })
  }
}

/** As braft's own copier. */
const TIMEOUT_MS = 10_000
