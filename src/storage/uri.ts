import { ErrorCode, Status } from '../raft/errors.js'

/** A storage address of braft: `local://DIR` or `memory://NAME`. */
export interface StorageUri {
  readonly type: string
  readonly parameter: string
}

/**
 * Splits `type://parameter` at the first `://`, as braft does: the type is trimmed and every whitespace character inside
 * the parameter is removed. Null when there is no `://`.
 */
export function parseStorageUri(uri: string): StorageUri | null {
  const separator = uri.indexOf('://')
  if (separator < 0) return null
  return { type: uri.slice(0, separator).trim(), parameter: uri.slice(separator + 3).replace(/\s/g, '') }
}

/** How the storages of one type are made, and how what they left is deleted. */
export interface StorageKind<Storage, Context> {
  /** Nothing is read or written before the storage is initialised. An answer that is a Status says why the parameter cannot be used. */
  open(parameter: string, context: Context): Storage | Status
  /** Deletes what a storage of this parameter left; fine when there is nothing. No storage is open there. */
  gc(parameter: string, context: Context, done: (status: Status) => void): void
}

/**
 * The types of one kind of storage, by the protocol in their address (braft's log_storage_extension and its siblings). A program
 * registers its own before it opens one.
 */
export class StorageRegistry<Storage, Context> {
  private readonly kinds = new Map<string, StorageKind<Storage, Context>>()

  /** `what` it holds, for messages: log, raft meta, snapshot. */
  constructor(readonly what: string) {}

  /** False when that type is taken. */
  register(type: string, kind: StorageKind<Storage, Context>): boolean {
    if (this.kinds.has(type)) return false
    this.kinds.set(type, kind)
    return true
  }

  /** The storage at that address, or an EINVAL that says what is wrong with it. */
  open(uri: string, context: Context): Storage | Status {
    const found = this.find(uri)
    return found instanceof Status ? found : found.kind.open(found.parameter, context)
  }

  /** Deletes what the storage at that address left. EINVAL: there is no such type. */
  gc(uri: string, context: Context, done: (status: Status) => void): void {
    const found = this.find(uri)
    if (found instanceof Status) done(found)
    else found.kind.gc(found.parameter, context, done)
  }

  private find(uri: string): { readonly kind: StorageKind<Storage, Context>; readonly parameter: string } | Status {
    const parsed = parseStorageUri(uri)
    if (!parsed) return this.invalid(uri, 'it has no "://"')
    const kind = this.kinds.get(parsed.type)
    return kind ? { kind, parameter: parsed.parameter } : this.invalid(uri, `there is no type "${parsed.type}"`)
  }

  private invalid(uri: string, why: string): Status {
    const known = [...this.kinds.keys()].map((type) => `${type}://`).join(', ')
    return Status.error(ErrorCode.EINVAL, `"${uri}" is no address of a ${this.what} storage: ${why}; known: ${known}`)
  }
}
