import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration } from '../../../src/raft/configuration.js'
import { Status } from '../../../src/raft/errors.js'
import { Node } from '../../../src/raft/node.js'
import { type Iterator, StateMachine } from '../../../src/raft/raft.js'
import { RaftServer } from '../../../src/server/raft-server.js'
import { peer } from '../../support/entries.js'

class Nothing extends StateMachine {
  override onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) iterator.done()?.run(Status.OK)
  }
}

const home = mkdtempSync(join(tmpdir(), 'raftctl-raft-server-'))
test.after(() => rmSync(home, { recursive: true }))

const peerId = peer(7001)
const memberIn = (directory: string) => ({
  ...{ groupId: 'g', fsm: new Nothing(), initialConf: new Configuration([peerId]), directory: join(home, directory) },
})
const problemOf = (start: PromiseSettledResult<unknown>) => (start.status === 'rejected' ? (start.reason as Error).message : null)

test('of two starts of one group at the same time one is refused, and may be tried again when the other is stopped', async () => {
  const server = new RaftServer({ peerId, clusterId: 'c'.repeat(32), administered: false })
  const [first, second] = await Promise.allSettled([server.start(memberIn('one')), server.start(memberIn('two'))])
  assert.equal([problemOf(first), problemOf(second)], [null, 'group g runs here already'])
  assert.is(server.nodes.nodesOf('g').length, 1)
  if (first.status === 'fulfilled') await server.stop(first.value)
  await server.stop(await server.start(memberIn('two')))
  await server.close()
})

test('a group whose place a node has that nobody started here does not start, and gives its directory back', async () => {
  const server = new RaftServer({ peerId, clusterId: 'c'.repeat(32), administered: false })
  const other = new Node('g', peerId)
  server.nodes.add(other)
  const [refused] = await Promise.allSettled([server.start(memberIn('three'))])
  assert.match(problemOf(refused!)!, /does not start: .*a node of that group is in this process/)
  assert.is(server.nodes.get('g', peerId), other)
  server.nodes.remove(other)
  await server.stop(await server.start(memberIn('three')))
  await server.close()
})

test.run()
