/** `crc32c:` and eight hex digits, as SnapshotFileMeta writes a checksum. */
export function formatChecksum(crc32c: number): string {
  return `crc32c:${crc32c.toString(16).padStart(8, '0')}`
}

/** The CRC-32C in a checksum; null when it is of another kind, or there is none. */
export function parseChecksum(checksum: string | undefined): number | null {
  const hex = checksum === undefined ? null : /^crc32c:([0-9a-f]{8})$/.exec(checksum)
  return hex ? Number.parseInt(hex[1]!, 16) : null
}
