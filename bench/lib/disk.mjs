// What the disk does by itself: one durable write after another at the end of a growing file.
import { closeSync, constants, openSync, rmSync, writeSync } from 'node:fs'
import { percentile } from './turns.mjs'

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
