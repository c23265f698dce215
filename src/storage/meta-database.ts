import { resolve } from 'node:path'
import { ErrorCode, Status } from '../raft/errors.js'

/** What is used of the package `classic-level`, which is loaded when the first database is opened. */
interface Level {
  open(options: { passive: boolean }): Promise<void>
  close(): Promise<void>
  get(key: Buffer): Promise<Buffer | undefined>
  batch(writes: readonly Write[], options: { sync: true }): Promise<void>
}

type Write = { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer } | { readonly type: 'del'; readonly key: Buffer }

const PACKAGE = 'classic-level'
const BUFFERS = { keyEncoding: 'buffer', valueEncoding: 'buffer' }
/** Writes that become durable together (braft raft_meta_write_batch). */
const BATCH_MAX = 128

/**
 * A LevelDB that the members of many groups share. What waits while a write is under way goes into the next one: however many save
 * at a time, each write is synced once.
 */
export class MetaDatabase {
  private opening: Promise<Level> | null = null
  private readonly waiting: { readonly write: Write; readonly done: (error: unknown) => void }[] = []
  private isWriting = false

  constructor(readonly path: string) {}

  /** The value, or null. Rejects with a Status (`statusOf`). */
  async get(key: string): Promise<Buffer | null> {
    const level = await this.open()
    return (await level.get(Buffer.from(key))) ?? null
  }

  /** Resolves once it is durable. */
  async put(key: string, value: Uint8Array): Promise<void> {
    await this.write({ type: 'put', key: Buffer.from(key), value: Buffer.from(value) })
  }

  /** Resolves once it is durable. */
  async delete(key: string): Promise<void> {
    await this.write({ type: 'del', key: Buffer.from(key) })
  }

  /** Gives the directory free for another process. Nothing may be under way. */
  async close(): Promise<void> {
    const opening = this.opening
    this.opening = null
    if (opening) await (await opening).close()
  }

  private write(write: Write): Promise<void> {
    return new Promise((resolved, rejected) => {
      this.waiting.push({ write, done: (error) => (error === null ? resolved() : rejected(error)) })
      void this.pump()
    })
  }

  private async pump(): Promise<void> {
    if (this.isWriting) return
    this.isWriting = true
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, BATCH_MAX)
      let failure: unknown = null
      try {
        const level = await this.open()
        await level.batch(
          batch.map(({ write }) => write),
          { sync: true },
        )
      } catch (error) {
        failure = error
      }
      for (const { done } of batch) done(failure)
    }
    this.isWriting = false
  }

  private open(): Promise<Level> {
    if (this.opening) return this.opening
    const opening = openLevel(this.path)
    this.opening = opening
    // Another try may find what is missing now.
    opening.catch(() => {
      if (this.opening === opening) this.opening = null
    })
    return opening
  }
}

async function openLevel(path: string): Promise<Level> {
  let ClassicLevel: new (path: string, options: object) => Level
  try {
    ;({ ClassicLevel } = (await import(PACKAGE)) as { ClassicLevel: typeof ClassicLevel })
  } catch (error) {
    throw Object.assign(new Error((error as Error).message), { code: 'LEVEL_MISSING' })
  }
  const level = new ClassicLevel(path, BUFFERS)
  await level.open({ passive: false })
  return level
}

/** Databases of this process by directory: LevelDB lets a directory be opened once. */
const databases = new Map<string, MetaDatabase>()

/** The database in that directory, the same for all who ask (braft's MetaStorageManager). */
export function metaDatabase(path: string): MetaDatabase {
  const key = resolve(path)
  let found = databases.get(key)
  if (!found) {
    found = new MetaDatabase(path)
    databases.set(key, found)
  }
  return found
}

/** Closes every database that `local-merged://` and `local-mixed://` opened in this process, whose nodes have stopped. */
export async function closeMetaDatabases(): Promise<void> {
  const open = [...databases.values()]
  databases.clear()
  await Promise.all(open.map((database) => database.close()))
}

/** What a failed call of a database means. */
export function statusOf(error: unknown, path: string): Status {
  const { code, message, cause } = error as Error & { code?: string; cause?: { code?: string; message?: string } }
  const text = cause?.message ?? message
  switch (cause?.code ?? code) {
    case 'LEVEL_MISSING':
      return Status.error(
        ErrorCode.EINVAL,
        `local-merged:// and local-mixed:// need the package ${PACKAGE}: npm install ${PACKAGE} (${text})`,
      )
    case 'LEVEL_LOCKED':
      return Status.error(ErrorCode.EBUSY, `the database of term and vote in ${path} is open in another process`)
    case 'LEVEL_CORRUPTION':
      return Status.error(ErrorCode.ECORRUPT, `the database of term and vote in ${path} is damaged: ${text}`)
    default:
      return Status.error(ErrorCode.EIO, `the database of term and vote in ${path}: ${text}`)
  }
}
