import { mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { takeDataDirectory } from '../../../src/server/data-directory.js'

/** What was synced while `run` ran. */
async function syncedDuring(run: () => Promise<unknown>): Promise<string[]> {
  const file = await open(tmpdir(), 'r')
  const prototype = Object.getPrototypeOf(file) as FileHandle
  await file.close()
  const { sync } = prototype
  const synced: string[] = []
  prototype.sync = function (this: FileHandle) {
    synced.push(readlinkSync(`/proc/self/fd/${this.fd}`))
    return sync.call(this)
  }
  try {
    await run()
  } finally {
    prototype.sync = sync
  }
  return synced
}

if (process.platform === 'linux') {
  test('the name of the data directory is durable, also where it is found: a killed process may have made it', async () => {
    const home = mkdtempSync(join(tmpdir(), 'raftctl-data-'))
    const path = join(home, 'a', 'b', 'data')
    try {
      for (const how of ['made', 'found']) {
        const synced = await syncedDuring(async () => (await takeDataDirectory(path)).release())
        for (let at = dirname(path); at !== '/'; at = dirname(at)) assert.ok(synced.includes(at), `${how}: ${at} is not synced`)
      }
    } finally {
      rmSync(home, { recursive: true })
    }
  })
}

test.run()
