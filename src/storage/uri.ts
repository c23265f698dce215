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
