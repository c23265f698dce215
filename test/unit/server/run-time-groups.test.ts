import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../../src/raft/errors.js'
import { productionEnvironment } from '../../../src/server/environment.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { RunTimeGroups, type RunTimeGroupsOptions } from '../../../src/server/run-time-groups.js'
import { NodeFileSystem } from '../../../src/storage/node-file-system.js'
import { peer } from '../../support/entries.js'

const record = { group: 'g', machine: 'kv', uid: 'a'.repeat(32), founders: [String(peer(1))] }

/** As much of a process as is needed while nothing runs. */
function groupsIn(dataDir: string): { groups: RunTimeGroups; end: () => void } {
  const executor = new EventLoopExecutor()
  const environment = productionEnvironment({ executor } as never)
  const options = {
    configuration: { dataDir, group: 'kv' },
    environment,
    fileSystem: new NodeFileSystem(executor),
    log: { error: () => {}, info: () => {} },
  } as unknown as RunTimeGroupsOptions
  return { groups: new RunTimeGroups(options), end: () => environment.clock.stop() }
}

test('before all that the disk holds is known no group is created or removed: it may be there', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'raftctl-run-time-'))
  const { groups, end } = groupsIn(dataDir)
  assert.is((await groups.create(record)).status.code, ErrorCode.EAGAIN)
  assert.is((await groups.remove('g', '')).status.code, ErrorCode.EAGAIN)
  writeFileSync(join(dataDir, 'groups'), 'no directory')
  await groups.openAll()
  const { status } = await groups.create(record)
  assert.is(status.code, ErrorCode.EIO)
  assert.match(status.message, /^the groups on the disk cannot be read/)
  end()
  rmSync(dataDir, { recursive: true })
})

test.run()
