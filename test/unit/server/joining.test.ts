import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseConfiguration } from '../../../src/server/configuration.js'
import { configurationFor } from '../../../src/server/joining.js'
import type { IdentityRecord } from '../../../src/storage/identity-file.js'

const founding = parseConfiguration({ listen: '127.0.0.1:7001', data: './n1', group: 'kv', electionTimeout: '1s', logLevel: 'info' })
const rebuilding = { ...founding, standing: 'rebuilding' } as const
const found = (standing: IdentityRecord['standing'], founders: IdentityRecord['founders']): IdentityRecord => ({
  ...{ clusterId: null, peerId: '127.0.0.1:7001:0:0', name: null, incarnation: 'a', generation: 1 },
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

test.run()
