import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Status } from '../../../src/raft/errors.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { checksum } from '../../../src/storage/checksum.js'
import { type FoundGroup, GroupDirectories } from '../../../src/storage/group-directories.js'
import { NodeFileSystem } from '../../../src/storage/node-file-system.js'
import { peer } from '../../support/entries.js'

test('what cannot be read below groups hinders no other group, and is named', async () => {
  const root = mkdtempSync(join(tmpdir(), 'raftctl-groups-'))
  const executor = new EventLoopExecutor()
  const groups = new GroupDirectories(new NodeFileSystem(executor), checksum, root)
  const on = <T>(start: (done: (status: Status, value?: T) => void) => void) =>
    new Promise<T | undefined>((resolve, reject) =>
      executor.post(() => start((status, value) => (status.ok ? resolve(value) : reject(status))), 'test'),
    )
  await on((done) => groups.create({ group: 'z', machine: 'kv', uid: 'a'.repeat(32), founders: [String(peer(1))] }, done))
  writeFileSync(join(root, 'groups', 'core'), 'dumped')
  mkdirSync(join(root, 'groups', 'm', 'raftctl', 'group.json'), { recursive: true })
  const found = await on<FoundGroup[]>((done) => groups.list(done))
  const rows = found!.map(({ name, ...rest }) => [name, rest.record?.uid[0] ?? null, 'problem' in rest ? rest.problem : null])
  assert.equal(
    rows.map(([name, uid]) => [name, uid]),
    [
      ['core', null],
      ['m', null],
      ['z', 'a'],
    ],
  )
  for (const [, , problem] of rows.slice(0, 2)) assert.match(String(problem), /group\.json cannot be read: /)
  rmSync(root, { recursive: true })
})

test.run()
