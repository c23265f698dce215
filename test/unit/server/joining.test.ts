import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseConfiguration } from '../../../src/server/configuration.js'
import { configurationFor, removedError } from '../../../src/server/joining.js'
import type { IdentityRecord } from '../../../src/storage/identity-file.js'

const founding = parseConfiguration({ listen: '127.0.0.1:7001', data: './n1', group: 'kv', electionTimeout: '1s', logLevel: 'info' })
const rebuilding = { ...founding, standing: 'rebuilding' } as const
const found = (standing: IdentityRecord['standing'], founders: IdentityRecord['founders']): IdentityRecord => ({
  ...{ clusterId: null, peerId: '127.0.0.1:7001:0:0', name: null, incarnation: 'a', generation: 1, removed: null },
  standing,
  founders,
})
const sizeFor = (configuration: typeof founding | typeof rebuilding, identity: IdentityRecord | null) =>
  configurationFor(configuration, identity).initialConf.size

test('the flags name the members of a group only to who founds it or founded it', () => {
  assert.is(sizeFor(founding, null), 1)
  assert.is(sizeFor(founding, found('founding', null)), 1)
  assert.is(sizeFor(rebuilding, found('founding', null)), 1)
  assert.is(sizeFor(founding, found('member', { '127.0.0.1:7001:0': 'a' })), 1)
})

test('a member that was added or is being rebuilt never elects itself from the flags', () => {
  assert.is(sizeFor(rebuilding, null), 0)
  assert.is(sizeFor(founding, found('rebuilding', null)), 0)
  assert.is(sizeFor(founding, found('member', null)), 0)
})

test('a removed member says how it comes back, in commands that can be typed', () => {
  const flags = {
    listen: '0.0.0.0:7004',
    advertise: '127.0.0.1:7004',
    mixed: true,
    name: 'n4',
    data: '/d/n4',
    group: 'g',
    electionTimeout: '1s',
    logLevel: 'info',
  }
  const error = removedError(parseConfiguration(flags), { reason: 'as asked', members: ['db1:7001', 'db2:7002'] })
  assert.is(error.code, 'E_REMOVED_FROM_CLUSTER')
  assert.match(error.message, 'n4 is no longer a member of its cluster: as asked')
  const [head, ...commands] = error.hint.split('\n').map((line) => line.trim())
  assert.match(head, 'To make it a member again')
  assert.equal(commands, [
    'raftctl node wipe /d/n4',
    'raftctl node start --name n4 --listen 0.0.0.0:7004 --advertise 127.0.0.1:7004 --group g --mixed --join db1:7001,db2:7002 --data /d/n4',
    'raftctl member add n4=127.0.0.1:7004',
  ])
})

test.run()
