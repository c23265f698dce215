// A raftctl node in a group with members that speak exactly braft's protocol, and nothing of raftctl's.
// timeout: 300s
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { braft, example } from '../../src/generated/braft.js'
import { ErrorCode } from '../../src/raft/errors.js'
import { fromInt64 } from '../../src/raft/types.js'
import { BaiduStdClient, type BaiduStdError, callBaiduStd } from '../../src/rpc/baidu-std-client.js'
import { frame } from '../../src/storage/protobuf-file.js'
import { BraftMember, LIST } from '../support/braft-member.js'
import { eventually, freePorts, TestNode } from './node-cluster.js'

const GROUP = 'Counter'
const MACHINE = ['--group', `${GROUP}=counter`, '--snapshot-interval', '0']
const homes: string[] = []
const closers: (() => unknown)[] = []

test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  for (const home of homes.splice(0)) rmSync(home, { recursive: true, force: true })
})

/** A place for one raftctl node and so many braft members; the node is not started yet. */
async function place(braftMembers: number, flags: readonly string[] = ['--mixed'], peers = true) {
  const home = mkdtempSync(join(tmpdir(), 'raftctl-mixed-'))
  homes.push(home)
  const [port] = await freePorts(1)
  const members: BraftMember[] = []
  for (let i = 0; i < braftMembers; i++) members.push(await BraftMember.start(GROUP))
  for (const member of members) closers.push(() => member.close())
  const addresses = [`127.0.0.1:${port}`, ...members.map(({ address }) => address)]
  for (const member of members) member.initial = addresses.map((address) => `${address}:0:0`)
  const founders = peers ? ['--peers', addresses.join(',')] : []
  const node = new TestNode('ours', port!, home, [...MACHINE, ...flags, ...founders, '--enable-faults'])
  closers.push(() => node.close())
  return { node, members, peers: members[0]!.initial }
}

const status = (node: TestNode) => node.control.call('GetNodeStatus', { group: GROUP }, { timeoutMs: 2000 })
const standing = async (node: TestNode) => (await status(node)).standing

async function add(node: TestNode, value: number): Promise<{ success: boolean; value: number; redirect: string | null }> {
  const client = new BaiduStdClient('127.0.0.1', node.port, { connectTimeoutMs: 5000 })
  try {
    const method = {
      service: 'example.CounterService',
      method: 'fetch_add',
      request: example.FetchAddRequest,
      response: example.CounterResponse,
    }
    const { response } = await callBaiduStd(client, method, { value })
    return { success: response.success, value: fromInt64(response.value ?? 0), redirect: response.redirect }
  } finally {
    client.close()
  }
}

const increment = (value: number) => Buffer.from(example.FetchAddRequest.encode({ value }).finish()).toString('latin1')

/** A braft member wins an election against our node, and opens its term as braft does. */
async function takeOver(member: BraftMember, node: TestNode): Promise<void> {
  await member.requestVote(node.address)
  member.becomeLeader()
  member.propose('', member.members)
}

/** Sends all that the leader has until our node takes it: it may have to ask the others first whether it counts. */
async function replicate(leader: BraftMember, node: TestNode, prev = 0): Promise<void> {
  await eventually('the node to take entries', async () => {
    await leader.append(node.address, 0, 0)
    return (await leader.append(node.address, prev)).success
  })
}

test('with fresh braft founders it founds a group, is elected by their votes, and replicates to them as braft does', async () => {
  const { node, members, peers } = await place(2)
  node.start()
  await eventually('it to lead', async () => (await status(node)).state === 'LEADER')
  const [first, second] = [members[0]!, members[1]!]
  assert.equal(await add(node, 5), { success: true, value: 0, redirect: null })
  assert.equal(await add(node, 7), { success: true, value: 5, redirect: null })
  await eventually('both to hold it', async () => members.every(({ committed }) => committed >= 3))
  for (const member of members) {
    assert.equal(
      member.log.map(({ type, data, peers }) => [type, data, peers]),
      [
        [3, '', [...peers].sort()],
        [2, increment(5), []],
        [2, increment(7), []],
      ],
    )
    const asked = member.requests<braft.RequestVoteRequest>('request_vote')
    assert.ok(asked.every(({ disrupted_leader }) => !disrupted_leader))
  }
  const own = await status(node)
  assert.equal([own.mixed, own.standing], [true, 'member'])
  assert.equal(own.progress!.map(({ peer_id, kind }) => [peer_id, kind]).sort(), members.map(({ peerId }) => [peerId, 'braft']).sort())
  // braft's own administrator hands leadership to a braft member.
  const client = new BaiduStdClient('127.0.0.1', node.port, { connectTimeoutMs: 5000 })
  closers.push(() => client.close())
  const transfer = {
    service: 'braft.CliService',
    method: 'transfer_leader',
    request: braft.TransferLeaderRequest,
    response: braft.TransferLeaderResponse,
  }
  await callBaiduStd(client, transfer, { group_id: GROUP, leader_id: node.peerId, peer_id: first.peerId })
  await eventually('timeout_now', async () => first.received.some(({ method }) => method === 'timeout_now'))
  await eventually('it to step down', async () => (await status(node)).state === 'FOLLOWER')
  first.term = Number((await status(node)).term)
  const { granted } = await first.requestVote(node.address, { peer_id: node.peerId, term: first.term })
  assert.ok(granted, 'the vote that its own timeout_now asked for')
  assert.is(second.log.length, 3)
})

test('it follows a braft leader: entries, commits, a vote for the next one, and who leads to whoever asks', async () => {
  const { node, members } = await place(2)
  const [leader, other] = [members[0]!, members[1]!]
  // The group began without our node.
  leader.term = 2
  other.term = 2
  leader.becomeLeader()
  leader.propose('', leader.members)
  leader.propose(increment(3))
  node.start()
  await eventually('it to be up', async () => (await status(node)).state === 'FOLLOWER')
  assert.is(await standing(node), 'rebuilding')
  await replicate(leader, node)
  leader.committed = 2
  const beat = await leader.append(node.address, 2)
  assert.equal([fromInt64(beat.term), beat.success, fromInt64(beat.last_log_index ?? 0), beat.readonly], [2, true, 2, false])
  const zero = await leader.append(node.address, 0, 0)
  assert.equal([zero.success, fromInt64(zero.last_log_index ?? 0)], [true, 2])
  await eventually('it to count', async () => (await leader.append(node.address, 2)).success && (await standing(node)) === 'member')
  assert.equal(await add(node, 1), { success: false, value: 0, redirect: leader.peerId })
  const wrong = await leader.append(node.address, 9, 9).catch((error) => error)
  assert.equal([wrong.success, fromInt64(wrong.last_log_index)], [false, 2])

  other.log.push(...leader.log)
  leader.committed = 2
  const refused = await other.preVote(node.address)
  assert.equal([refused.granted, refused.rejected_by_lease], [false, true], 'it hears its leader')
  const { granted } = await other.requestVote(node.address, { peer_id: leader.peerId, term: 2 })
  assert.ok(granted, 'the leader said that it was disrupted')
  other.becomeLeader()
  other.propose('', other.members)
  assert.is((await other.append(node.address, 2)).success, true)
  const stale = await leader.append(node.address, 2)
  assert.equal([stale.success, fromInt64(stale.term)], [false, 3])
})

test('a snapshot of a braft leader is fetched by get_file, and what follows it is taken', async () => {
  const { node, members } = await place(2)
  const [leader, other] = [members[0]!, members[1]!]
  for (const member of members) member.term = 4
  leader.becomeLeader()
  for (let i = 0; i < 10; i++) leader.log.push({ term: 3, type: 2, data: increment(1), peers: [] })
  leader.log.push({ term: 4, type: 3, data: '', peers: leader.members })
  other.log.push(...leader.log)
  const meta = { last_included_index: 10, last_included_term: 3, peers: [...leader.members] }
  const list = braft.LocalSnapshotPbMeta.encode({ meta, files: [{ name: 'data', meta: {} }] }).finish()
  const state = frame(example.Snapshot.encode({ value: 4200 }).finish())
  leader.snapshot = {
    readerId: '-34208353187694',
    files: new Map([
      [LIST, Buffer.from(list)],
      ['data', state],
    ]),
  }
  node.start()
  const installed = await eventually('it to install', async () => {
    await leader.append(node.address, 0, 0)
    return await leader
      .installSnapshot(node.address, meta)
      .catch((error: BaiduStdError) => (error.status.code === ErrorCode.EAGAIN ? null : Promise.reject(error)))
  })
  assert.equal([fromInt64(installed.term), installed.success], [4, true])
  leader.committed = 11
  assert.is((await leader.append(node.address, 10)).success, true)
  await eventually('it to count', async () => (await leader.append(node.address, 11)).success && (await standing(node)) === 'member')
  // It leads on from what braft wrote.
  await leader.timeoutNow(node.address)
  await eventually('it to lead', async () => (await status(node)).state === 'LEADER')
  assert.equal(await add(node, 1), { success: true, value: 4200, redirect: null })
})

test('timeout_now is answered with the next term, and the votes it asks for name the leader that stepped back', async () => {
  const { node, members } = await place(2)
  const [leader, other] = [members[0]!, members[1]!]
  node.start()
  await eventually('it to found', async () => (await standing(node)) === 'member')
  await eventually('it to lead', async () => (await status(node)).state === 'LEADER')
  await add(node, 1)
  await eventually('all to hold it', async () => members.every(({ committed }) => committed >= 2))
  leader.term = Number((await status(node)).term)
  await takeOver(leader, node).catch(() => {})
  await eventually('the vote of our node', async () =>
    leader.votedFor === leader.peerId ? (await leader.append(node.address, 2)).success : false,
  )
  leader.committed = 3
  await leader.append(node.address, 3)
  const { term } = leader
  const answer = await leader.timeoutNow(node.address)
  assert.equal([answer.success, fromInt64(answer.term)], [true, term + 1])
  await eventually('it to lead again', async () => (await status(node)).state === 'LEADER')
  const asked = other.requests<braft.RequestVoteRequest>('request_vote').at(-1)!
  assert.equal([asked.disrupted_leader?.peer_id, fromInt64(asked.disrupted_leader?.term ?? 0)], [leader.peerId, term])
})

test('--join with a braft node starts empty and passive, and is added by its leader', async () => {
  const { node, members } = await place(1, ['--mixed'], false)
  const leader = members[0]!
  leader.initial = [leader.peerId]
  leader.term = 2
  leader.becomeLeader()
  leader.propose('', [leader.peerId])
  leader.propose(increment(9))
  leader.committed = 2
  node.start('--join', leader.address)
  await eventually('it to wait', async () => (await status(node)).state === 'FOLLOWER')
  assert.equal([await standing(node), (await status(node)).membership!.members], ['rebuilding', []])
  await replicate(leader, node)
  leader.propose('', [leader.peerId, node.peerId])
  assert.is((await leader.append(node.address, 2)).success, true)
  leader.committed = 3
  await eventually('it to count', async () => (await leader.append(node.address, 3)).success && (await standing(node)) === 'member')
})

test('while a braft voter is down, a node that is added is no member for its leader: nothing counts it as caught up, or alive', async () => {
  const { node, members } = await place(2, ['--mixed'], false)
  const [leader, other] = [members[0]!, members[1]!]
  for (const member of members) {
    member.initial = members.map(({ peerId }) => peerId)
    member.term = 2
  }
  leader.becomeLeader()
  leader.propose('', leader.members)
  leader.committed = 1
  const { port } = other
  await other.close()
  node.start('--join', leader.address)
  await eventually('it to wait', async () => (await status(node)).state === 'FOLLOWER')
  const appended = (prev: number, last?: number) =>
    leader.append(node.address, prev, last).then(
      ({ success }) => success,
      (error: BaiduStdError) => error.status.code,
    )
  await eventually('it to follow', async () => {
    await appended(0, 0)
    return (await status(node)).leader_id === leader.peerId
  })
  // A probe, a heartbeat, and entries.
  assert.equal([await appended(0, 0), await appended(1), await appended(0)], Array(3).fill(ErrorCode.EAGAIN))
  const back = await BraftMember.start(GROUP, port)
  closers.push(() => back.close())
  Object.assign(back, { initial: other.initial, term: 2, leader: leader.peerId })
  await eventually('it to have asked both', async () => (await appended(0, 0)) === true)
  assert.is(await appended(0), true)
})

test('without --mixed a braft node is refused both ways, and the log says once what to do', async () => {
  const { node, members } = await place(2, [])
  node.start()
  await eventually('it to be up', async () => (await status(node)).state === 'UNINITIALIZED')
  const leader = members[0]!
  leader.term = 2
  for (const _ of [1, 2]) {
    const error = await leader.append(node.address, 0).then(
      () => null,
      (refused: BaiduStdError) => refused,
    )
    assert.is(error?.status.code, ErrorCode.EPERM)
  }
  await eventually('both to be named', async () => refusals().length >= 2)
  const { output } = await node.signal('SIGTERM')
  const said = output.split('\n').filter((line) => line.includes('"msg":"peer.refused"'))
  assert.is(said.length, 2, 'once for each')
  assert.ok(said.every((line) => line.includes('--mixed')))

  function refusals(): string[] {
    return node.logLines().filter((line) => line.includes('"msg":"peer.refused"'))
  }
})

test('without --mixed --join of a braft node is exit 6 and leaves nothing behind', async () => {
  const { node, members } = await place(1, [], false)
  const { code, output } = await node.start('--join', members[0]!.address).exited()
  assert.is(code, 6)
  assert.match(output, 'E_MIXED')
  assert.match(output, `${members[0]!.address} is a braft node`)
})

test.run()
