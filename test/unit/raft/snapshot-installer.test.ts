import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, errorName, Status } from '../../../src/raft/errors.js'
import { asTerm } from '../../../src/raft/types.js'
import { batch, peer } from '../../support/entries.js'
import { InstallBench, told } from '../../support/install-bench.js'
import { T } from '../../support/node-bench.js'

test('a snapshot is copied, loaded and told to the log before the call is answered', () => {
  const bench = new InstallBench()
  const offered = bench.offer(20)
  assert.equal([told(offered), bench.progress], ['held', 'downloading'])
  bench.give(20)
  assert.equal([told(offered), bench.progress], ['held', 'loading'])
  bench.held.log = true
  bench.loaded()
  assert.is(told(offered), 'held', 'the log is not as durable yet')
  bench.held.log = false
  bench.settle()
  assert.equal([told(offered), bench.progress], ['true 5', 'idle'])
  const { firstIndex, lastId, committedIndex, appliedIndex, snapshotId } = bench.node.status()
  assert.equal([firstIndex, lastId, committedIndex, appliedIndex, snapshotId.index], [21, { index: 20, term: 5 }, 20, 20, 20])
  assert.equal(
    bench.storage!.calls.filter((call) => call !== 'init'),
    ['create to resume', 'checkpoint', 'commit 20', 'open'],
  )
  const entries = bench.append(2, 5, { prev: [20, 5], entries: batch(21, 5, ['u']), committed: 21 })
  assert.is(entries.response!.success, true)
  assert.is(told(bench.offer(20)), 'true 5', 'once more: nothing happens')
  assert.is(told(bench.offer(19)), 'true 5')
  assert.is(bench.storage!.readers, 0)
})

test('a list of another snapshot than was offered is not copied from', () => {
  for (const [index, term] of [
    [21, 5],
    [20, 4],
  ] as const) {
    const bench = new InstallBench()
    const offered = bench.offer(20)
    bench.give(index, term)
    assert.equal([told(offered), bench.progress], ['ECORRUPT', 'idle'])
    assert.equal(
      bench.storage!.calls.filter((call) => call !== 'init'),
      [],
      'nothing is written',
    )
  }
})

test('of what an earlier copy completed only files stay that are the very same at the source', () => {
  const bench = new InstallBench()
  const file = (crc: string) => ({ checksum: `crc32c:${crc}`, size: 3 })
  const uncheckable = { checksum: 'md5:1', size: 3 }
  bench.storage!.present = new Map([
    ['same', file('00000001')],
    ['other', file('00000002')],
    ['gone', file('00000003')],
    ['uncheckable', uncheckable],
  ])
  bench.offer(20)
  const files = new Map([
    ['same', file('00000001')],
    ['other', file('0000000f')],
    ['uncheckable', uncheckable],
  ])
  bench.give(20, 5, files)
  assert.equal(bench.storage!.checkpointed, ['same'])
})

test('while it installs, entries are refused, heartbeats are fine, and it does not campaign', () => {
  const bench = new InstallBench()
  bench.offer(20)
  assert.is(bench.append(2, 5, { entries: batch(1, 5, ['a']) }).status!.code, ErrorCode.EBUSY)
  assert.is(bench.append(2, 5).response!.success, true)
  for (let i = 0; i < 6; i++) {
    bench.advance(T / 2)
    bench.append(2, 5)
  }
  assert.equal(bench.transport.open('preVote').length, 0)
  const timeoutNow = { groupId: 'g', serverId: peer(2), peerId: peer(1), term: asTerm(5), oldLeaderSteppedDown: false }
  const answer = bench.ask<{ success: boolean }>((done) => bench.impl.handleTimeoutNow(timeoutNow, done))
  assert.equal([answer.response!.success, bench.state], [false, 'FOLLOWER'])
})

test('the same snapshot again takes the place of the call before, also while it loads', () => {
  const bench = new InstallBench()
  const first = bench.offer(20)
  const second = bench.offer(20)
  assert.equal([told(first), told(second)], ['EINTR', 'held'])
  assert.is(bench.transport.calls.filter((call) => call.method === 'getFile').length, 1, 'the copy goes on')
  bench.give(20)
  const third = bench.offer(20)
  assert.equal([told(second), told(third)], ['EINTR', 'held'])
  bench.loaded()
  assert.is(told(third), 'true 5')
})

test('the same snapshot from elsewhere is copied from there, with what is complete', () => {
  const bench = new InstallBench()
  const first = bench.offer(20)
  const second = bench.offer(20, { uri: 'remote://127.0.0.1:2/78' })
  assert.equal([told(first), told(second)], ['EINTR', 'held'])
  assert.is(bench.transport.open('getFile')[0]!.request.readerId, '78')
  bench.give(20).loaded()
  assert.is(told(second), 'true 5')
})

test('an older one is refused; a newer one ends the copy and has to come again', () => {
  const bench = new InstallBench()
  const first = bench.offer(20)
  assert.is(told(bench.offer(10)), 'EINVAL')
  assert.is(told(bench.offer(30)), 'EBUSY')
  assert.equal([told(first), bench.progress], ['ECANCELED', 'idle'])
  const again = bench.offer(30)
  bench.give(30)
  assert.is(told(bench.offer(40)), 'EBUSY')
  bench.loaded()
  assert.is(told(again), 'true 5')
})

test('a leader that is followed no more ends the copy, but not a load', () => {
  const bench = new InstallBench()
  const copying = bench.offer(20)
  assert.is(bench.append(3, 6).response!.success, true)
  assert.equal([told(copying), bench.progress], ['ECANCELED', 'idle'])
  assert.equal(bench.transport.open('getFile'), [])

  const loading = bench.offer(20, { term: 6, from: 3 })
  bench.give(20, 6)
  bench.append(2, 7)
  assert.equal([told(loading), bench.progress], ['held', 'loading'])
  bench.loaded()
  assert.equal([told(loading), bench.impl.snapshots.lastId.index], ['true 7', 20])
})

test('a copy that became the newest snapshot of the disk is loaded, whoever is followed by then', () => {
  const bench = new InstallBench()
  const storage = bench.storage!
  const commit = storage.commit.bind(storage)
  let finish = () => {}
  storage.commit = (writer, meta, done) => {
    finish = () => commit(writer, meta, done)
  }
  const offered = bench.offer(20)
  bench.give(20)
  bench.append(3, 6)
  assert.is(told(offered), 'ECANCELED')
  finish()
  bench.settle()
  assert.is(bench.progress, 'loading')
  bench.loaded()
  assert.equal([bench.progress, bench.impl.snapshots.lastId.index, storage.readers], ['idle', 20, 0])
  assert.is(told(bench.offer(20, { term: 6, from: 3 })), 'true 6', 'copied again it would be refused for ever: it is here')
})

test('a disk that runs short takes no snapshot: what is left is for the log', () => {
  const bench = new InstallBench()
  bench.node.setDiskSpace('short')
  assert.equal([told(bench.offer(20)), bench.progress], ['ENOSPC', 'idle'])
  bench.node.setDiskSpace('ample')
  const offered = bench.offer(20)
  bench.give(20).loaded()
  assert.is(told(offered), 'true 5')
})

test('what cannot be installed is answered at once', () => {
  const bench = new InstallBench()
  assert.is(told(bench.offer(20, { term: 4 })), 'false 5')
  assert.is(told(bench.offer(20, { uri: 'http://127.0.0.1:2/7' })), 'EINVAL')
  assert.is(told(bench.offer(20, { uri: 'remote://127.0.0.1:2/x' })), 'EINVAL')
  assert.is(told(new InstallBench(null).offer(20)), 'EINVAL')
  bench.append(2, 5)
  assert.is(told(bench.offer(20, { from: 3 })), 'false 6', 'a second leader in the term')
})

test('a reader of braft, beyond what a number holds and negative, is asked for as it is named', () => {
  const bench = new InstallBench()
  bench.offer(20, { uri: 'remote://127.0.0.1:9/-9223372036854775808' })
  const [call] = bench.transport.open('getFile')
  assert.equal([call!.to.port, call!.request.readerId, call!.request.filename], [9, '-9223372036854775808', '__raft_snapshot_meta'])
})

test('an entry of the log that ends the snapshot is all there is to install: then it is committed', () => {
  const bench = new InstallBench()
  bench.append(2, 5, { entries: batch(1, 5, ['a', 'b', 'c']) })
  assert.is(told(bench.offer(2)), 'true 5')
  assert.equal([bench.node.status().committedIndex, bench.node.status().lastId.index], [2, 3])
  assert.equal(bench.storage!.calls, ['init'])
})

test('a source that fails is asked three times more, and what was lost is asked for again', () => {
  const bench = new InstallBench()
  const offered = bench.offer(20)
  for (let i = 0; i < 3; i++) {
    bench.transport.open('getFile')[0]!.finish(Status.error(ErrorCode.ECONNRESET, 'gone'))
    bench.advance(999)
    assert.is(bench.transport.open('getFile').length, 0)
    bench.advance(1)
    bench.append(2, 5)
  }
  bench.transport.open('getFile')[0]!.finish(Status.error(ErrorCode.ECONNRESET, 'gone'))
  bench.settle()
  assert.equal([told(offered), bench.progress, bench.state], ['ECONNRESET', 'idle', 'FOLLOWER'])
  const again = bench.offer(20)
  bench.transport.open('getFile')[0]!.finish(Status.error(ErrorCode.ENOENT, 'no such reader'))
  bench.settle()
  assert.is(told(again), 'ENOENT', 'it would not come back')
})

test('the own disk that fails ends the node, a full one only the copy', () => {
  for (const [code, state] of [
    [ErrorCode.EIO, 'ERROR'],
    [ErrorCode.ENOSPC, 'FOLLOWER'],
  ] as const) {
    const bench = new InstallBench()
    const offered = bench.offer(20)
    bench.storage!.failures.set('commit', Status.error(code, 'commit failed'))
    bench.give(20)
    assert.equal([told(offered), bench.state], [errorName(code), state])
  }
})

test('a machine that cannot load it ends the node', () => {
  const bench = new InstallBench()
  const offered = bench.offer(20)
  bench.give(20).loaded(Status.error(ErrorCode.ECORRUPT, 'not mine'))
  assert.equal([told(offered), bench.state, bench.impl.log.firstIndex], ['ECORRUPT', 'ERROR', 1])
})

test('a node that stops gives the copy up first', () => {
  const bench = new InstallBench()
  const offered = bench.offer(20)
  bench.node.shutdown(bench.tell('shutdown'))
  bench.settle()
  assert.equal([told(offered), bench.told.at(-1)], ['ECANCELED', 'shutdown OK'])
})

test.run()
