import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ClusterClient } from '../../../src/admin/cluster-client.js'
import { EitherEngine } from '../../../src/admin/engines/either.js'
import { planRecovery, recover } from '../../../src/admin/recovery.js'
import { FakeBraftCluster } from '../../support/fake-braft.js'
import { connection } from './fake-engine.js'

const test = suite('members set by hand')
let cluster: FakeBraftCluster
let client: ClusterClient

test.before.each(async () => {
  cluster = await FakeBraftCluster.start({ size: 5 })
  const settings = { ...connection, endpoints: cluster.nodes.map((node) => node.address), group: 'Counter', timeoutMs: 500 }
  client = new ClusterClient(settings, new EitherEngine(settings, 'braft'))
})
test.after.each(() => {
  client[Symbol.dispose]()
  cluster.close()
})

const plan = () => planRecovery(client, { command: 'recover plan', lost: null, reason: null })
const byNobody = { leader: '0.0.0.0:0:0:0', lastMsgMs: 9000 }

/** The first members die, the leader among them; those that are left know it, or not yet. */
function loseThree(known: boolean): void {
  for (const node of cluster.nodes.slice(0, 3)) cluster.kill(node)
  if (known) for (const { state } of cluster.nodes.slice(3)) Object.assign(state, byNobody)
}

test('not while one of those that are left hears a leader: the others are only cut off from here', async () => {
  loseThree(false)
  const { refusal } = await plan()
  assert.is(refusal?.code, 'E_QUORUM_ALIVE')
  assert.match(refusal?.message ?? '', `${cluster.nodes[3]!.address} hears ${cluster.nodes[0]!.address} lead (20 ms ago)`)
  for (const { state } of cluster.nodes.slice(3)) state.lastMsgMs = 2001
  assert.is((await plan()).refusal, null, 'what was heard that long ago says nothing')
})

test('not while the leader is one of those that are left, and a quorum answers it', async () => {
  for (const node of cluster.nodes.slice(2)) node.close()
  const { refusal } = await plan()
  assert.is(refusal?.code, 'E_QUORUM_ALIVE')
  assert.match(refusal?.message ?? '', `${cluster.nodes[0]!.address} leads, and a quorum answers it`)
})

test('not while a majority answers', async () => {
  for (const node of cluster.nodes.slice(3)) cluster.kill(node)
  assert.is((await plan()).refusal?.code, 'E_QUORUM_ALIVE')
})

test('who holds most is told first, and all that are left become the members', async () => {
  loseThree(true)
  const [d, e] = [cluster.nodes[3]!, cluster.nodes[4]!]
  Object.assign(e.state, { last: 90 })
  const { plan: drafted, refusal } = await plan()
  assert.is(refusal, null)
  assert.equal(
    drafted.action.target.map(({ id }) => id),
    [e.address, d.address],
  )
  assert.ok(drafted.facts.some((line) => line === 'becomes final: entries 83 to 90, committed or not'))
  const { voters, configIndex } = await recover(client, drafted, { verify: false, signal: new AbortController().signal })
  assert.equal([voters.length, configIndex], [2, 91])
  for (const { state } of [d, e]) assert.equal([...state.peers].sort(), [d.peerId, e.peerId].sort())
})

test('a plan that was made upon other members is not carried out', async () => {
  loseThree(true)
  const { plan: drafted } = await plan()
  for (const { state } of cluster.nodes.slice(3)) state.peers = state.peers.slice(1)
  const error = await recover(client, drafted, { verify: false, signal: new AbortController().signal }).catch((thrown) => thrown)
  assert.is(error.code, 'E_PLAN_STALE')
  assert.equal(
    cluster.nodes.flatMap((node) => node.asked.filter((method) => method === 'reset_peer')),
    [],
  )
})

test.run()
