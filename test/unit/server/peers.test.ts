import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RaftEvent } from '../../../src/raft/events.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { Faults } from '../../../src/rpc/faults.js'
import { ProcessIdentity } from '../../../src/rpc/identity.js'
import { parseConfiguration } from '../../../src/server/configuration.js'
import { Peers } from '../../../src/server/peers.js'
import { checksum } from '../../../src/storage/checksum.js'
import { ManualExecutor } from '../../support/fake-environment.js'

const configuration = parseConfiguration({ listen: '127.0.0.1:7001', data: './n1', group: 'kv', electionTimeout: '1s', logLevel: 'info' })

test('strangers that call under ever new addresses fill neither the memory nor the log', () => {
  const said: RaftEvent[] = []
  const identity = new ProcessIdentity(configuration.peerId, 'n1', 'boot', '0', null)
  const peers = new Peers({
    ...{ configuration, identity, checksum, executor: new ManualExecutor(), faults: new Faults(false) },
    ...{ onName: () => {}, observe: (event: RaftEvent) => void said.push(event) },
  })
  const stranger = (n: number) => new PeerId('127.0.0.1', 10_000 + n)
  for (let n = 0; n < 3000; n++) peers.noteBraft('kv', stranger(n), false)
  assert.is(said.length, 1024)
  peers.noteBraft('kv', stranger(0), false)
  assert.is(said.length, 1024, 'once a minute each')
  assert.equal([peers.kindOf(stranger(1000)), peers.kindOf(stranger(2999))], [null, 'braft'])
  peers.transport.close()
})

test.run()
