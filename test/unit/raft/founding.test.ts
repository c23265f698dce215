import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration } from '../../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { HelloResponse, Standing } from '../../../src/raft/messages.js'
import type { PeerId } from '../../../src/raft/peer-id.js'
import type { NodeIdentity } from '../../../src/raft/storage.js'
import { logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members, peer } from '../../support/entries.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { FakeIdentityStorage, NodeBench, T, unreachable } from '../../support/node-bench.js'

const test = suite('Founding')

const keys = [1, 2, 3].map((n) => peer(n).key)
const record = new Map([
  [keys[0]!, 'one'],
  [keys[1]!, 'two'],
  [keys[2]!, 'three'],
])

function identity(standing: Standing = 'founding', founders: NodeIdentity['founders'] = null): FakeIdentityStorage {
  return new FakeIdentityStorage({ standing, incarnation: 'one', founders })
}

function founding(): NodeBench {
  return new NodeBench({ identity: identity() }).init()
}

function answers(bench: NodeBench, n: number, fields: Partial<HelloResponse> = {}): void {
  const call = bench.transport.open('hello', peer(n)).at(-1)!
  const incarnation = ['', 'one', 'two', 'three'][n]!
  call.finish(Status.OK, { incarnation, standing: 'founding', bootId: `b${n}`, founders: null, lastLogIndex: logIndex(0), ...fields })
  bench.settle()
}

test('it takes part once every founder has said that it is founding, and not before', () => {
  const bench = founding()
  assert.equal(
    bench.transport.open('hello').map(({ to, request }) => [to.port, request.standing, request.incarnation]),
    [
      [2, 'founding', 'one'],
      [3, 'founding', 'one'],
    ],
  )
  answers(bench, 2)
  bench.advance(5 * T)
  assert.is(bench.state, 'UNINITIALIZED')
  assert.is(bench.transport.calls.filter((call) => call.method !== 'hello').length, 0)
  assert.is(bench.vote('requestVote', 2, 2).status!.code, ErrorCode.EAGAIN)
  assert.is(bench.vote('preVote', 2, 2).status!.code, ErrorCode.EAGAIN)
  assert.is(bench.append(2, 2).status!.code, ErrorCode.EAGAIN)

  answers(bench, 3)
  assert.equal(bench.told, ['init OK'])
  assert.equal([bench.state, bench.node.status().standing], ['FOLLOWER', 'member'])
})

test('a directory that was bootstrapped asks those in its log, whatever it is told of initial members', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, [configuration(members(1, 2, 3))])] })
  const bench = new NodeBench({ identity: identity(), disk, conf: Configuration.EMPTY }).init()
  assert.equal(
    bench.transport.open('hello').map(({ to }) => to.port),
    [2, 3],
  )
  answers(bench, 2)
  assert.is(bench.state, 'UNINITIALIZED')
  answers(bench, 3)
  assert.is(bench.state, 'FOLLOWER')
})

test('a founder that does not come is named after a while, with what became of the last attempt', () => {
  const bench = founding()
  answers(bench, 2)
  const said = () => bench.environment.observer.events.flatMap((event) => (event.name === 'founding.waiting' ? [event.missing] : []))
  bench.advance(4900)
  assert.equal(said(), [])
  bench.transport.open('hello', peer(3)).at(-1)!.finish(Status.error(ErrorCode.EHOSTDOWN, 'the name n3 does not resolve here'))
  bench.settle()
  bench.advance(200)
  assert.equal(said(), [`${peer(3).address}: the name n3 does not resolve here`])
})

test('the incarnations of all founders are on disk before the first vote', () => {
  const bench = founding()
  bench.held.identity = true
  answers(bench, 2)
  answers(bench, 3)
  bench.advance(T)
  assert.equal(bench.told, [])
  assert.is(bench.vote('requestVote', 2, 2).status!.code, ErrorCode.EAGAIN)
  bench.held.identity = false
  bench.settle()
  assert.equal(bench.identity!.saved, [{ standing: 'member', incarnation: 'one', founders: record }])
  assert.is(bench.vote('requestVote', 2, 2).response!.granted, true)
})

test('a founder that cannot be reached is asked again until it answers', () => {
  const bench = founding()
  answers(bench, 2)
  for (let i = 0; i < 5; i++) {
    bench.until('it asks', () => bench.transport.open('hello', peer(3)).length === 1, 200)
    bench.transport.open('hello', peer(3))[0]!.finish(unreachable)
  }
  bench.until('it asks', () => bench.transport.open('hello', peer(3)).length === 1, 200)
  answers(bench, 3)
  assert.equal(bench.told, ['init OK'])
})

test('a founder is asked by one call at a time, and who has answered is not asked again', () => {
  const bench = founding()
  answers(bench, 2)
  bench.advance(3 * T)
  assert.is(bench.transport.open('hello', peer(3)).length, 1)
  assert.is(bench.transport.calls.filter(({ to }) => to.port === 2).length, 1)
})

test('a founder that was faster shows a record with this incarnation: that will do', () => {
  const bench = founding()
  answers(bench, 2, { standing: 'member', founders: record })
  answers(bench, 3)
  assert.equal(bench.told, ['init OK'])
})

test('a member that knows another incarnation of this directory remembers its past: EREBUILD', () => {
  const bench = founding()
  answers(bench, 3)
  answers(bench, 2, { standing: 'member', founders: new Map(record).set(keys[0]!, 'an earlier life') })
  expectRefused(bench, peer(2))
})

test('a member that was rebuilt knows no founders: EREBUILD once nobody has named this directory for long', () => {
  const bench = founding()
  answers(bench, 3, { standing: 'member', founders: null })
  bench.advance(9000)
  assert.equal(bench.told, [])
  bench.advance(2000)
  expectRefused(bench, peer(3))
})

function expectRefused(bench: NodeBench, who: PeerId): void {
  assert.equal(bench.told, ['init EREBUILD'])
  const reasons = bench.environment.observer.events.flatMap((event) => (event.name === 'node.rebuild-needed' ? [event.reason] : []))
  assert.match(reasons[0]!, `${who} belongs to a group`)
  assert.equal(bench.events('node.rebuild-needed'), ['node.rebuild-needed'])
  assert.is(bench.state, 'ERROR')
  assert.is(bench.identity!.saved.length, 0)
  assert.not(bench.vote('requestVote', 2, 2).status!.ok)
  bench.advance(T)
  assert.is(bench.transport.open('hello').length, 0)
}

test('a start while it was founding goes on with the incarnation that it has', () => {
  const disk = identity()
  const before = new NodeBench({ identity: disk }).init()
  answers(before, 2)
  const bench = new NodeBench({ identity: disk }).init()
  assert.is(bench.transport.open('hello', peer(2))[0]!.request.incarnation, 'one')
  answers(bench, 2, { standing: 'member', founders: record })
  answers(bench, 3)
  assert.equal(bench.told, ['init OK'])
})

test('while it founds it tells others so, and shows no record before that is durable', () => {
  const bench = founding()
  const hello = () =>
    bench.ask<HelloResponse>((answer) =>
      bench.impl.handleHello({ groupId: 'g', serverId: peer(2), peerId: peer(1), incarnation: 'two', standing: 'founding' }, answer),
    ).response!
  assert.equal([hello().standing, hello().founders], ['founding', null])
  bench.held.identity = true
  answers(bench, 2)
  answers(bench, 3)
  assert.equal([hello().standing, hello().founders], ['founding', null])
  bench.held.identity = false
  bench.settle()
  assert.equal([hello().standing, hello().founders], ['member', record])
})

test('a member asks nobody, and neither does a directory that is being rebuilt: it knows no members until a leader tells it', () => {
  const member = new NodeBench({ identity: identity('member', record) }).init()
  assert.equal([member.told, member.transport.calls.length], [['init OK'], 0])
  const rebuilding = new NodeBench({ identity: identity('rebuilding') }).init()
  assert.equal([rebuilding.told, rebuilding.impl.configuration.isEmpty], [['init OK'], true])
})

test('a group of one founds itself', () => {
  const bench = new NodeBench({ identity: identity(), conf: members(1) }).init()
  assert.equal(bench.told, ['init OK'])
  bench.until('a leader', () => bench.impl.leaderReady)
})

test('stopped while it founds, it tells init and asks nobody any more', () => {
  const bench = founding()
  answers(bench, 2)
  bench.node.shutdown(bench.tell('shutdown'))
  bench.settle()
  assert.equal(bench.told.sort(), ['init ESHUTDOWN', 'shutdown OK'])
  bench.advance(2 * T)
  assert.is(bench.transport.open('hello').length, 0)
  assert.equal(bench.environment.clock.scheduled, [])
})

test('stopped while its record is written, it does not take part', () => {
  const bench = founding()
  bench.held.identity = true
  answers(bench, 2)
  answers(bench, 3)
  bench.node.shutdown(bench.tell('shutdown'))
  bench.held.identity = false
  bench.settle()
  assert.equal(bench.told.sort(), ['init ESHUTDOWN', 'shutdown OK'])
})

test('stopped before its identity is read, it does not begin to found', () => {
  const bench = new NodeBench({ identity: identity() })
  bench.held.identity = true
  bench.init()
  bench.node.shutdown(bench.tell('shutdown'))
  bench.settle()
  bench.held.identity = false
  bench.settle()
  bench.advance(T)
  assert.is(bench.transport.calls.length, 0)
  assert.equal(bench.told.sort(), ['init ESHUTDOWN', 'shutdown OK'])
})

/** A leader is heard for so long, or until it takes part; nothing that it sends is taken. */
function led(bench: NodeBench, ms: number): void {
  for (let passed = 0; passed < ms && bench.state === 'UNINITIALIZED'; passed += T) {
    assert.is(bench.append(2, 2).status!.code, ErrorCode.EAGAIN)
    bench.advance(T)
  }
}

test('a group that began without it, and a founder that is gone for good: after a while it is rebuilt, and counts for nothing', () => {
  const bench = founding()
  // Founders that are started by hand may take their time: only the time counts for which the group goes on without it.
  bench.advance(60_000)
  answers(bench, 2, { standing: 'member', founders: record })
  led(bench, 9000)
  assert.equal([bench.state, bench.identity!.saved], ['UNINITIALIZED', []])
  led(bench, 2000)
  assert.equal(bench.told, ['init OK'])
  assert.equal(bench.identity!.saved, [{ standing: 'rebuilding', incarnation: 'one', founders: null }])
  assert.equal(bench.events('founding.missed'), ['founding.missed'])
  assert.equal([bench.impl.configuration.isEmpty, bench.node.status().standing], [true, 'rebuilding'])
  assert.is(bench.vote('requestVote', 2, 2).response!.granted, false)
})

test('without a leader the group may need its vote, and without a record it may be another directory: it waits', () => {
  const leaderless = founding()
  answers(leaderless, 2, { standing: 'member', founders: record })
  leaderless.advance(12_000)
  const unnamed = founding()
  led(unnamed, 12_000)
  // One that was heard long ago leads nobody any more.
  const left = founding()
  answers(left, 2, { standing: 'member', founders: record })
  led(left, 9000)
  left.advance(12_000)
  for (const bench of [leaderless, unnamed, left]) {
    assert.equal([bench.state, bench.identity!.saved], ['UNINITIALIZED', []])
    assert.equal(bench.events('founding.missed'), [])
  }
  answers(leaderless, 3)
  assert.equal(leaderless.told, ['init OK'])
  assert.is(leaderless.node.status().standing, 'member')
})

test('who was founding like it is asked again once a leader is heard of, and may name it then', () => {
  const bench = founding()
  answers(bench, 2)
  bench.advance(9500)
  assert.is(bench.transport.open('hello', peer(2)).length, 0)
  bench.append(2, 2)
  bench.until('it asks', () => bench.transport.open('hello', peer(2)).length === 1, 200)
  // Another life of that directory would be no proof of anything, and is not what was heard first.
  answers(bench, 2, { standing: 'member', founders: record, incarnation: 'a later life' })
  answers(bench, 3)
  assert.equal(bench.identity!.saved, [{ standing: 'member', incarnation: 'one', founders: record }])

  const missed = founding()
  answers(missed, 2)
  missed.append(2, 2)
  missed.until('it asks', () => missed.transport.open('hello', peer(2)).length === 1, 200)
  answers(missed, 2, { standing: 'member', founders: record })
  led(missed, 12_000)
  assert.equal([missed.told, missed.node.status().standing], [['init OK'], 'rebuilding'])
})

test('a member that was rebuilt is no reason to refuse beside one that names this directory, whoever answers first', () => {
  const bench = founding()
  answers(bench, 3)
  answers(bench, 2, { standing: 'rebuilding', founders: null })
  bench.until('it asks who was founding before', () => bench.transport.open('hello', peer(3)).length === 1, 200)
  answers(bench, 3, { standing: 'member', founders: record })
  bench.advance(11_000)
  assert.equal([bench.state, bench.told], ['UNINITIALIZED', []])
  led(bench, 12_000)
  assert.equal([bench.told, bench.node.status().standing], [['init OK'], 'rebuilding'])
})

test.run()
