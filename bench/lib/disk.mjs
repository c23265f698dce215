// What the disk does by itself: one durable write after another at the end of a growing file, and files read from start to end.
import { closeSync, constants, openSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { percentile } from './turns.mjs'

const READ_BYTES = 1024 * 1024

/** `bytes` at a time; answers writes a second and latencies in ms. The file is gone afterwards. */
export async function syncedWrites({ file, bytes, seconds }) {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_DSYNC } = constants
  const fd = openSync(file, O_WRONLY | O_CREAT | O_TRUNC | O_DSYNC)
  const data = Buffer.alloc(bytes, 'x')
  const latencies = []
  const end = performance.now() + seconds * 1000
  for (let now = performance.now(); now < end; ) {
    writeSync(fd, data)
    const after = performance.now()
    latencies.push(after - now)
    now = after
  }
  closeSync(fd)
  rmSync(file)
  return { perSecond: latencies.length / seconds, p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99) }
}

/** Every file of a directory, one after the other; answers how long that took. */
export async function plainReads(directory) {
  const piece = Buffer.allocUnsafe(READ_BYTES)
  const startedAt = performance.now()
  let bytes = 0
  for (const name of readdirSync(directory)) {
    const fd = openSync(join(directory, name), 'r')
    for (let count = -1; count !== 0; bytes += count) count = readSync(fd, piece, 0, READ_BYTES, null)
    closeSync(fd)
  }
  return { ms: performance.now() - startedAt, bytes }
}
