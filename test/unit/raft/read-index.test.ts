import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConfigurationEntry } from '../../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { ReadIndexResponse } from '../../../src/raft/messages.js'
import { logIndex } from '../../../src/raft/types.js'
import { batch, configuration, configurationAt, members, peer } from '../../support/entries.js'
import { NodeBench, T } from '../../support/node-bench.js'

const test = suite('ReadIndex')

test('a read is told the commit index once a quorum answered a request sent after it came', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  bench.take(2)
  bench.read('read')
  assert.not(bench.told.includes('read OK 2'))
  bench.stream(3).answerAll()
  bench.settle()
  assert.is(bench.told.at(-1), 'read OK 2')
})

test('D03 an answer to a request that was sent before the read confirms nothing', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  bench.until('a heartbeat', () => bench.stream(2).unanswered.length === 2)
  const older = bench.stream(2).unanswered.length
  bench.read('read')
  for (let i = 0; i < older; i++) bench.stream(2).answerOne()
  bench.settle()
  assert.is(bench.told.at(-1), 'a OK', 'both answers came, and neither is about the read')
  bench.stream(2).answerOne()
  bench.settle()
  assert.is(bench.told.at(-1), 'read OK 1')
})

test('D01 a new leader answers no read before the first entry of its term is committed, and then all (D02)', () => {
  const bench = NodeBench.follower(5)
  bench.elect()
  bench.read('early')
  bench.stream(2).answerOne()
  bench.advance(T / 5)
  assert.is(bench.told.at(-1), 'init OK')
  bench.take(2)
  bench.take(2)
  assert.is(bench.told.at(-1), 'early OK 1')
})

test('reads of one turn share a round, and those that come while it runs share the next', () => {
  const bench = NodeBench.leader(6)
  const sent = bench.stream(2).sent.length
  for (let i = 0; i < 50; i++) bench.node.readIndex(T, bench.tell('first'))
  bench.settle()
  assert.is(bench.stream(2).sent.length, sent + 1)
  for (let i = 0; i < 50; i++) bench.node.readIndex(T, bench.tell('second'))
  bench.settle()
  assert.is(bench.stream(2).sent.length, sent + 1)
  bench.take(2)
  assert.is(bench.stream(2).sent.length, sent + 2)
  bench.take(2)
  assert.is(bench.told.filter((text) => text === 'first OK 1').length, 50)
  assert.is(bench.told.filter((text) => text === 'second OK 1').length, 50)
})

test('a group of one needs nobody to confirm', () => {
  const bench = new NodeBench({ conf: members(1) }).init()
  bench.until('a leader', () => bench.impl.leaderReady)
  bench.read('read')
  assert.is(bench.told.at(-1), 'read OK 1')
})

test('a round whose requests are lost is confirmed by a later heartbeat', () => {
  const bench = NodeBench.leader(6)
  bench.read('read')
  bench.stream(2).break()
  bench.stream(3).break()
  bench.advance(T / 10 + 1)
  bench.take(2)
  assert.is(bench.told.at(-1), 'read OK 1')
})

test('a read that no quorum confirms ends at its deadline, and those behind it get their round at once', () => {
  const bench = NodeBench.leader(6)
  // Right behind a heartbeat: the next is not due before the reads are through.
  bench.advance(T / 10 - (bench.now % (T / 10)))
  bench.read('short', 50)
  bench.read('long', 500)
  const sent = bench.stream(2).sent.length
  bench.advance(50)
  assert.is(bench.told.at(-1), 'short ETIMEDOUT')
  assert.is(bench.stream(2).sent.length, sent + 1)
  bench.take(2)
  bench.take(2)
  assert.is(bench.told.at(-1), 'long OK 1')
})

test('D04 leadership that is lost ends the reads that wait', () => {
  const bench = NodeBench.leader(6)
  bench.read('read')
  const old = bench.stream(2)
  bench.append(3, 7)
  old.answerAll()
  bench.settle()
  assert.equal(bench.told.slice(1), ['read EPERM'])
})

test('D03 answers of one leadership confirm no read of the next', () => {
  const bench = NodeBench.leader(6)
  bench.read('first')
  bench.append(3, 7)
  bench.elect()
  bench.read('second')
  bench.stream(2).answerOne()
  bench.stream(3).answerOne()
  assert.equal(bench.told.slice(1), ['first EPERM'])
  bench.take(2)
  bench.take(2)
  assert.is(bench.told.at(-1), 'second OK 2')
})

test('a follower asks its leader, and answers when it has applied as much', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  bench.read('read')
  const [call] = bench.transport.open('readIndex', peer(2))
  call!.finish(Status.OK, { index: logIndex(2) })
  bench.settle()
  assert.is(bench.told.at(-1), 'init OK')
  bench.append(2, 5, { entries: batch(1, 5, [configuration(members(1, 2, 3)), 'a']), committed: 2 })
  assert.is(bench.told.at(-1), 'read OK 2')
})

test('D09 a follower that never gets that far says so at the deadline, and keeps nothing of it', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  bench.read('read', 300)
  bench.advance(100)
  bench.transport.open('readIndex', peer(2))[0]!.finish(Status.OK, { index: logIndex(2) })
  bench.settle()
  bench.advance(199)
  assert.is(bench.told.at(-1), 'init OK')
  bench.advance(1)
  assert.is(bench.told.at(-1), 'read ETIMEDOUT')
  bench.append(2, 5, { entries: batch(1, 5, [configuration(members(1, 2, 3)), 'a']), committed: 2 })
  assert.equal(bench.told.slice(1), ['read ETIMEDOUT'])
})

test('reads of one turn that a follower passes on share a call; one that comes later never joins it', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  for (let i = 0; i < 50; i++) bench.node.readIndex(T, bench.tell('first'))
  bench.node.readIndex(T, bench.tell('by lease'), 'lease')
  bench.settle()
  const calls = bench.transport.open('readIndex', peer(2))
  assert.equal(
    calls.map(({ request }) => request.mode),
    ['confirmed', 'lease'],
  )
  bench.read('later')
  const [, , third, ...more] = bench.transport.open('readIndex', peer(2))
  assert.is(more.length, 0)
  calls[0]!.finish(Status.OK, { index: logIndex(0) })
  bench.settle()
  assert.equal(bench.told.slice(1), Array(50).fill('first OK 0'))
  calls[1]!.finish(Status.OK, { index: logIndex(0) })
  third!.finish(Status.OK, { index: logIndex(0) })
  bench.settle()
  assert.equal(bench.told.slice(51), ['by lease OK 0', 'later OK 0'])
})

test('each of the reads that share a call ends at its own deadline', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  bench.node.readIndex(50, bench.tell('short'))
  bench.node.readIndex(200, bench.tell('long'))
  bench.settle()
  bench.advance(50)
  assert.equal(bench.told.slice(1), ['short ETIMEDOUT'])
  bench.transport.open('readIndex', peer(2))[0]!.finish(Status.OK, { index: logIndex(0) })
  bench.settle()
  assert.equal(bench.told.slice(1), ['short ETIMEDOUT', 'long OK 0'])
})

test('what the leader says of a follower’s read is passed on', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  bench.read('read')
  bench.transport.open('readIndex', peer(2))[0]!.finish(Status.error(ErrorCode.EPERM, 'is not leader'))
  assert.is(bench.told.at(-1), 'read EPERM')
})

test('what a follower asked a leader that it then loses ends at once: the next one can be asked', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  bench.read('first', 10 * T)
  const [call] = bench.transport.open('readIndex', peer(2))
  bench.append(3, 6)
  assert.equal(bench.told.slice(1), ['first EAGAIN'])
  call!.finish(Status.OK, { index: logIndex(0) })
  bench.read('second')
  bench.transport.open('readIndex', peer(3))[0]!.finish(Status.OK, { index: logIndex(0) })
  bench.settle()
  assert.equal(bench.told.slice(1), ['first EAGAIN', 'second OK 0'])

  bench.read('third', 10 * T)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  assert.is(bench.told.at(-1), 'third EAGAIN')
})

test('without a leader a read is told so at once', () => {
  const bench = NodeBench.follower(5)
  bench.read('read')
  assert.is(bench.told.at(-1), 'read EAGAIN')
})

test('a follower refuses to confirm reads of others; a leader confirms them in a round of its own', () => {
  const ask = (bench: NodeBench) =>
    bench.ask<ReadIndexResponse>((answer) =>
      bench.impl.handleReadIndex({ groupId: 'g', serverId: peer(2), peerId: peer(1), mode: 'confirmed' }, answer),
    )
  assert.is(ask(NodeBench.follower(5)).status!.code, ErrorCode.EPERM)
  const bench = NodeBench.leader(6)
  const answer = ask(bench)
  assert.is(answer.status, null)
  bench.take(3)
  assert.is(answer.response!.index, 1)
})

test('a node that stops ends what it asked its leader', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  bench.read('read')
  bench.node.shutdown(bench.tell('shutdown'))
  bench.settle()
  assert.equal(bench.told.slice(1), ['read ESHUTDOWN', 'shutdown OK'])
  assert.is(bench.transport.open('readIndex').length, 0)
})

test('a read asked from inside the answer of another goes into the next round', () => {
  const bench = NodeBench.leader(6)
  bench.node.readIndex(T, () => bench.node.readIndex(T, bench.tell('inner')))
  bench.settle()
  bench.take(2)
  assert.is(bench.told.at(-1), 'init OK')
  bench.take(2)
  assert.is(bench.told.at(-1), 'inner OK 1')
})

test('D08 only voters confirm: a majority of them, of both halves while joint, this leader only where it is one', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2, 3, 4, 5) })
  const confirmed = (conf: ConfigurationEntry, ...answered: number[]) =>
    bench.impl.replicators.quorumValue(conf, 7, ({ peerId }) => (answered.includes(peerId.port) ? 7 : 0)) === 7
  const five = configurationAt(1, members(1, 2, 3, 4, 5))
  assert.equal([confirmed(five, 2), confirmed(five, 2, 3)], [false, true])

  const joint = configurationAt(1, members(1, 2, 3), members(1, 4, 5))
  assert.equal([confirmed(joint, 2, 3), confirmed(joint, 4, 5), confirmed(joint, 3, 4)], [false, false, true])

  const without = configurationAt(1, members(2, 3, 4))
  assert.equal([confirmed(without, 2), confirmed(without, 2, 5), confirmed(without, 2, 3)], [false, false, true])
  assert.is(confirmed(configurationAt(1, members(1, 8, 9)), 2, 3, 4, 5), false, 'nobody speaks for those who were never asked')
})

test.run()
