/** Joins path parts with '/'. The FileSystem port speaks POSIX paths. */
export function join(...parts: string[]): string {
  return parts.join('/')
}

/** The directory that holds `path`. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '.' : slash === 0 ? '/' : path.slice(0, slash)
}
