import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { documentOf } from '../support/local-clusters.js'
import { CliHome } from '../support/run-cli.js'
import { eventually, TestCluster } from './node-cluster.js'

const cluster = await TestCluster.start(3)
const home = new CliHome('warm')

test.after(async () => {
  await cluster.close()
  home.remove()
})

test('pain 5: a removed member stops with what to do, says it again at every start, and its directory can be put aside', async () => {
  const leader = await cluster.leader()
  const [victim, other] = cluster.others(leader)
  await eventually('the leader to be ready', async () => (await leader.status()).leader_ready_for_ms != null)
  const { code, output } = await removed(leader.address, victim!.peerId, leader.peerId, () => victim!.exited())
  assert.is(code, 6)
  assert.match(output, `E_REMOVED_FROM_CLUSTER  ${victim!.name} is no longer a member of its cluster`)
  assert.match(output, `raftctl node wipe ${victim!.dataDir}`)
  const members = [leader, other!].map((node) => node.address)
  assert.ok(
    [members, [...members].reverse()].some((both) => output.includes(`--join ${both.join(',')} --data ${victim!.dataDir}`)),
    output,
  )
  assert.match(output, `raftctl member add ${victim!.name}=${victim!.address}`)
  const again = await victim!.start().exited()
  assert.is(again.code, 6)
  assert.match(again.output, 'E_REMOVED_FROM_CLUSTER')
  assert.not.match(again.output, 'node.started')
  const client = cluster.client()
  await client.put(Buffer.from('without'), Buffer.from('it'))
  client.close()

  const asked = await home.run(['node', 'wipe', victim!.dataDir])
  assert.is(asked.exitCode, 12, asked.stderr)
  assert.match(asked.stderr, `--confirm ${victim!.name}`)
  const wiped = documentOf(await home.run(['node', 'wipe', victim!.dataDir, '--confirm', victim!.name, '--json']))
  assert.equal([wiped.exitCode, wiped.data.grounds, wiped.data.address], [0, 'removed', victim!.address])
  assert.not(existsSync(victim!.dataDir))
  assert.ok(existsSync(join(wiped.data.to, 'raftctl', 'node.json')))
})

/** Removes a member as braft's own administrators would, and waits for what becomes of it. */
async function removed<T>(address: string, peer: string, leader: string, then: () => Promise<T>): Promise<T> {
  const answer = await fetch(`http://${address}/CliService/remove_peer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ group_id: 'kv', leader_id: leader, peer_id: peer }),
  })
  assert.is(answer.status, 200, await answer.text())
  return then()
}

test.run()
