import fs, { existsSync, mkdirSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { moveAside, type WipeTarget } from '../../../src/admin/node-wipe.js'

if (process.platform === 'linux') {
  test('a directory that was put aside does not come back after a power loss', async () => {
    const home = mkdtempSync(join(tmpdir(), 'raftctl-wipe-'))
    const path = join(home, 'n1')
    mkdirSync(join(path, 'raftctl'), { recursive: true })
    const { fsyncSync } = fs
    const synced: { path: string; oldNameIsThere: boolean }[] = []
    fs.fsyncSync = (descriptor) => {
      synced.push({ path: readlinkSync(`/proc/self/fd/${descriptor}`), oldNameIsThere: existsSync(path) })
      fsyncSync(descriptor)
    }
    syncBuiltinESMExports()
    try {
      const to = await moveAside({ path } as WipeTarget, '2026-01-01')
      assert.ok(existsSync(to) && !existsSync(path))
      assert.equal(synced, [{ path: home, oldNameIsThere: false }])
    } finally {
      fs.fsyncSync = fsyncSync
      syncBuiltinESMExports()
      rmSync(home, { recursive: true })
    }
  })
}

test.run()
