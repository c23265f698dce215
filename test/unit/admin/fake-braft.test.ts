// The nodes that play braft in the tests of administrators say what braft was recorded to say, byte for byte.
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRaftStat, type RaftStat } from '../../../src/rpc/raft-stat-text.js'
import { BrpcFailure, FakeBraftCluster, FakeBraftNode, type FakeMethod, type FakeReplicator } from '../../support/fake-braft.js'
import { type CapturedFrame, capturedFrames, FIXTURES } from '../../support/rpc.js'

/** When timers go off, and what names and counts replicators, is not the fake's to know. */
function steady(page: string): string {
  return page.replace(/in \d+ms/g, 'in N').replace(/^replicator_\d+@(.*) hc=\d+ ac=\d+ ic=\d+/gm, 'replicator_N@$1')
}

function playing(node: FakeBraftNode, stat: RaftStat): void {
  node.port = Number(stat.peerId.split(':')[1])
  const replicators = stat.replicators.map(({ peerId, nextIndex, flying, activity, errors }): [string, FakeReplicator] => [
    peerId,
    { next: nextIndex, flying, activity, errors },
  ])
  Object.assign(node.state, {
    ...{ state: stat.state, readOnly: stat.readOnly, term: stat.term, confIndex: stat.confIndex, peers: [...stat.peers] },
    ...{ leader: stat.leader ?? node.state.leader, lastMsgMs: stat.leaderContactMs ?? 0, first: stat.firstIndex, last: stat.lastIndex },
    ...{ applied: stat.appliedIndex, committed: stat.committedIndex, snapshotIndex: stat.snapshotIndex, snapshotTerm: stat.snapshotTerm },
    ...{ snapshotStatus: stat.snapshotState.toUpperCase(), replicators: new Map(replicators) },
  })
}

for (const at of [0, 1, 2, 3])
  test(`the page of the node that was recorded as ${at}`, async () => {
    const recorded = readFileSync(new URL(`counter-4-peers/raft_stat_${at}.txt`, FIXTURES), 'utf8')
    const node = await FakeBraftNode.listen('Counter')
    try {
      playing(node, parseRaftStat(recorded)[0]!)
      assert.is(steady(node.text()), steady(recorded))
    } finally {
      node.close()
    }
  })

test('the answers that braft_cli was recorded to get', async () => {
  const cluster = await FakeBraftCluster.start()
  try {
    cluster.nodes.forEach((node, at) => {
      node.port = 8500 + at
      cluster.serve(node)
    })
    const peers = cluster.nodes.map((node) => node.peerId)
    for (const { state } of cluster.nodes) Object.assign(state, { peers: [...peers] })
    cluster.lead(cluster.nodes[1]!, 3)
    cluster.catchUpPages = 0
    const compared = new Set<string>()
    for (const [request, response] of calls()) {
      const node = cluster.nodes.find(({ port }) => port === request.to_port)!
      const answer = node.answers.get(request.method as FakeMethod)
      if (!answer) continue
      const asked = (async () => await answer(request.body))().catch((error: unknown) => error)
      node.onPage()
      const told = await asked
      const where = `${request.method} of ${node.address}`
      if (told instanceof BrpcFailure)
        assert.ok(response.meta.includes(`[${node.address}][E${told.code}]${told.text}`), `${where}: ${told.text}`)
      else assert.is(Buffer.from(told as Uint8Array).toString('hex'), response.body.toString('hex'), where)
      compared.add(told instanceof BrpcFailure ? `${request.method} refused` : request.method)
      if (request.method === 'transfer_leader') await until(() => cluster.leader.state.state === 'LEADER')
    }
    const all = ['add_peer', 'change_peers', 'remove_peer', 'reset_peer', 'snapshot', 'snapshot refused', 'transfer_leader']
    assert.equal([...compared].sort(), all)
  } finally {
    cluster.close()
  }
})

function calls(): [CapturedFrame, CapturedFrame][] {
  const frames = capturedFrames('cli-and-client').filter(({ service }) => service === 'braft.CliService')
  return frames
    .filter(({ kind }) => kind === 'request')
    .map((request) => {
      const mine = (one: CapturedFrame) =>
        one.kind === 'response' && one.correlation_id === request.correlation_id && one.to_port === request.from_port
      return [request, frames.find(mine)!]
    })
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await pause(5)
}

test.run()
