import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members, peer, texts } from '../../support/entries.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { NodeBench, T } from '../../support/node-bench.js'

const test = suite('Replicator')

/** Entries 1 to 5 of terms 3 and 4, on disk. */
const log = () => new FakeLogStorage({ batches: [batch(1, 3, [configuration(members(1, 2, 3)), 'a', 'b']), batch(4, 4, ['c', 'd'])] })

function status(bench: NodeBench, n: number) {
  return bench.node.status().peers.find(({ peerId }) => peerId.port === n)!
}

/** First and last index of every request with entries that waits at a peer. */
function waiting(bench: NodeBench, n: number): string[] {
  return bench.stream(n).unanswered.flatMap(({ request: { entries } }) => (entries ? [`${entries.firstIndex}-${entries.lastIndex}`] : []))
}

test('one empty request looks for where the logs agree, and nothing is sent before its answer', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  bench.elect()
  bench.propose('x')
  const stream = bench.stream(2)
  assert.is(stream.sent.length, 1)
  const { prevLogIndex, prevLogTerm, term, entries } = stream.newest
  assert.equal([prevLogIndex, prevLogTerm, term, entries], [5, 4, 6, null])

  stream.answerOne()
  assert.equal(waiting(bench, 2), ['6-7'], 'the opening entry and the task')
  assert.equal([stream.newest.prevLogIndex, stream.newest.prevLogTerm], [5, 4])
  assert.equal(texts(stream.newest.entries).at(-1), '7:6:x')
})

test('a peer that answers nothing is sent no more than 64 heartbeats, however many reads ask for one', () => {
  const bench = NodeBench.leader(6)
  for (let i = 0; i < 200; i++) bench.impl.replicators.heartbeat()
  assert.is(bench.stream(3).unanswered.length, 64)
  bench.take(3)
  bench.impl.replicators.heartbeat()
  assert.is(bench.stream(3).unanswered.length, 1, 'answers make room')
})

test('heartbeats fall on whole multiples of their interval, whenever the leadership began', () => {
  const bench = NodeBench.follower(5)
  bench.elect()
  bench.take(2)
  assert.is.not(bench.now % (T / 10), 0)
  const beats: number[] = []
  for (let before = bench.stream(2).sent.length; beats.length < 3; bench.advance(1)) {
    const { length } = bench.stream(2).sent
    if (length > before) beats.push(bench.now % (T / 10))
    before = length
    bench.stream(2).answerAll()
  }
  assert.equal(beats, [0, 0, 0])
})

/** In each of the next intervals, how many requests without entries peer 2 was sent; all are answered by all but the silent. */
function beatsOf(bench: NodeBench, intervals: number, intervalMs = T / 10, silent: readonly number[] = []): number[] {
  return Array.from({ length: intervals }, () => {
    const { length } = bench.stream(2).sent
    bench.advance(intervalMs)
    for (const n of [2, 3]) if (!silent.includes(n)) bench.stream(n).answerAll()
    return bench
      .stream(2)
      .sent.slice(length)
      .filter(({ request }) => !request.entries).length
  })
}

/** A leader whose last beat was answered, and that rests next. */
function idleLeader(options = {}): NodeBench {
  const bench = NodeBench.leader(6, options)
  beatsOf(bench, 4)
  if (beatsOf(bench, 1)[0] === 0) assert.equal(beatsOf(bench, 1), [1])
  return bench
}

test('a leader that has said all there is to say rests every second time', () => {
  assert.equal(beatsOf(idleLeader(), 6), [0, 1, 0, 1, 0, 1])
})

test('what is new is said at once, and what is committed at the next time, not the one after it', () => {
  const bench = idleLeader()
  bench.propose('x')
  for (const n of [2, 3]) bench.stream(n).answerAll()
  assert.is(bench.impl.ballotBox.lastCommittedIndex, bench.impl.log.lastIndex)
  assert.equal(beatsOf(bench, 4), [1, 1, 0, 1])
})

test('a leader does not rest while somebody answers nothing, or lacks an entry', () => {
  const bench = idleLeader()
  assert.equal(beatsOf(bench, 5, T / 10, [3]), [0, 1, 1, 1, 1])
  bench.take(3)
  assert.equal(beatsOf(bench, 3).slice(-2).sort(), [0, 1])

  const behind = idleLeader()
  behind.propose('x')
  behind.stream(2).answerAll()
  assert.equal(beatsOf(behind, 4, T / 10, [3]), [1, 1, 1, 1])
})

test('a leader does not rest while a peer is not to be reached', () => {
  const bench = idleLeader()
  const beats = Array.from({ length: 5 }, () => {
    bench.stream(3).break()
    return beatsOf(bench, 1, T / 10, [3])[0]
  })
  assert.equal(beats, [1, 1, 1, 1, 1])
})

test('a leader with leases does not rest, nor one whose election timeout was changed while it ran', () => {
  assert.equal(beatsOf(NodeBench.leader(6, { leaderLease: true }), 6), [1, 1, 1, 1, 1, 1])
  const changed = idleLeader()
  changed.node.resetElectionTimeoutMs(T + 10, 1)
  assert.equal(beatsOf(changed, 6, T / 10 + 1).slice(-4), [1, 1, 1, 1])
})

test('a leader that is heard less often than ten times in an election timeout does not rest', () => {
  const bench = NodeBench.leader(6, { heartbeatFactor: 9 })
  assert.equal(beatsOf(bench, 8, T / 9).slice(-4), [1, 1, 1, 1])
})

test('only answers to entries say what a peer holds', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  bench.elect()
  bench.stream(2).answerOne()
  assert.is(status(bench, 2).matchIndex, 0)
  bench.stream(2).answerOne()
  assert.is(status(bench, 2).matchIndex, 6)
})

test('entries of earlier terms commit with the first one of this term, never by being counted', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  bench.held.log = true
  bench.elect()
  bench.stream(2).answerOne()
  bench.stream(3).answerOne()
  bench.stream(2).answerOne({ lastLogIndex: logIndex(5) })
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 0, 'one of three holds entry 6: the own disk does not')
  bench.held.log = false
  bench.settle()
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 6)
})

test('B16 requests are sent ahead of their answers, at most 16 of them', () => {
  const bench = NodeBench.leader(6)
  for (let i = 0; i < 20; i++) bench.propose(`${i}`)
  assert.equal(waiting(bench, 2).length, 16)
  assert.is(waiting(bench, 2)[0], '2-2')
  bench.stream(2).answerOne()
  assert.equal(waiting(bench, 2).length, 16)
  assert.is(waiting(bench, 2).at(-1), '18-21', 'what waited goes together')
})

test('B16 no more than 4 MiB and one request are under way to a peer', () => {
  const bench = NodeBench.leader(6)
  for (let i = 0; i < 12; i++) bench.propose('x'.repeat(500 * 1024))
  assert.is(waiting(bench, 2).length, 9)
  assert.ok(status(bench, 2).inflightBytes < 4.6 * 1024 * 1024)
  bench.take(2)
  assert.equal([status(bench, 2).inflightBytes, status(bench, 2).matchIndex], [0, 13])
})

test('B15 a stream that breaks takes the next index back to the oldest request without an answer', () => {
  const bench = NodeBench.leader(6)
  for (const text of ['a', 'b', 'c']) bench.propose(text)
  bench.stream(2).answerOne()
  bench.stream(2).break()
  bench.advance(T / 10 + 1)
  assert.is(bench.stream(2).newest.prevLogIndex, 2)
  bench.stream(2).answerOne()
  assert.equal(waiting(bench, 2), ['3-4'])
})

test('a stream that breaks before the first answer of a leadership costs no second copy of the log', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  bench.elect()
  bench.stream(2).answerOne()
  assert.equal(waiting(bench, 2), ['6-6'])
  bench.stream(2).break()
  bench.advance(T / 10 + 1)
  assert.is(bench.stream(2).newest.prevLogIndex, 5, 'where the logs were found to agree')
  bench.stream(2).answerOne()
  assert.equal(waiting(bench, 2), ['6-6'])
})

test('a stream that breaks again and again is opened once per heartbeat, and the leader goes on with the others', () => {
  const bench = NodeBench.leader(6)
  const opened = bench.transport.streams.length
  for (let i = 0; i < 5 * T; i++) {
    bench.stream(2).break()
    bench.stream(3).answerAll()
    bench.advance(1)
  }
  assert.is(bench.state, 'LEADER')
  assert.ok(bench.transport.streams.length - opened <= 51)
  assert.is(bench.environment.events('peer.down').length, 1)
})

test('the hint of a refused probe is where the next one looks', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  bench.elect()
  bench.stream(2).answerOne({ success: false, lastLogIndex: logIndex(2) })
  assert.is(bench.stream(2).newest.prevLogIndex, 2)
  bench.stream(2).answerOne()
  bench.settle()
  assert.equal(waiting(bench, 2), ['3-5', '6-6'], 'from disk and from memory')
})

test('B07 a hint that does not help goes back one entry, down to the start of the log', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  bench.elect()
  for (const prev of [5, 4, 3, 2, 1]) {
    assert.is(bench.stream(2).newest.prevLogIndex, prev)
    bench.stream(2).answerOne({ success: false, lastLogIndex: logIndex(9) })
  }
  assert.is(bench.stream(2).newest.prevLogIndex, 0)
  bench.stream(2).answerOne()
  bench.settle()
  assert.equal(waiting(bench, 2), ['1-5', '6-6'])
})

test('entries that are refused although the probe was not: the search goes on below them', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  bench.elect()
  bench.stream(2).answerOne()
  bench.stream(2).answerOne({ success: false, lastLogIndex: logIndex(3) })
  assert.is(bench.stream(2).newest.prevLogIndex, 3)
  assert.is(status(bench, 2).state, 'probe')
})

test('a peer that lost what it had acknowledged is not counted on: ESTALE, and the leader goes on', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  bench.take(2)
  bench.take(3)
  bench.stream(2).break()
  bench.advance(T / 10 + 1)
  bench.stream(2).answerOne({ success: false, lastLogIndex: logIndex(0) })
  assert.match(status(bench, 2).lastError, /ESTALE.*up to 2/)
  assert.equal([status(bench, 2).matchIndex, status(bench, 2).state], [2, 'blocked'])
  assert.is(bench.state, 'LEADER')
})

test('a peer that is still starting is asked again with every heartbeat', () => {
  const bench = NodeBench.leader(6)
  bench.stream(2).break()
  let refused = 0
  for (let i = 0; i < T; i++) {
    bench.advance(1)
    bench.stream(3).answerAll()
    if (bench.stream(2).isOpen && bench.stream(2).unanswered.length > 0) {
      bench.stream(2).refuseOne(ErrorCode.EAGAIN)
      refused++
    }
  }
  assert.ok(refused >= 8, `${refused} times in T`)
  bench.advance(T / 10 + 1)
  bench.propose('a')
  bench.take(2)
  assert.equal(bench.told.at(-1), 'a OK')
})

test('a peer whose disk is full does not cost the leader its lead, is down once, and is up once it takes entries', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2) })
  bench.propose('a')
  for (let i = 0; i < 4 * T; i++) {
    const stream = bench.stream(2)
    const next = stream.unanswered[0]
    if (stream.isOpen && next) next.request.entries ? stream.refuseOne(ErrorCode.ENOSPC) : stream.answerOne()
    bench.advance(1)
  }
  assert.is(bench.state, 'LEADER')
  assert.equal(bench.events('peer.down', 'peer.up'), ['peer.down'])
  assert.match(status(bench, 2).lastError, /ENOSPC/)

  for (let i = 0; i < T / 5; i++) {
    bench.stream(2).answerAll()
    bench.advance(1)
  }
  assert.is(bench.told.at(-1), 'a OK')
  assert.equal(bench.events('peer.down', 'peer.up'), ['peer.down', 'peer.up'])
})

test('a busy peer is left alone for a while, and still hears its leader within T', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2) })
  let heard = bench.now
  for (let i = 0; i < 4 * T; i++) {
    const stream = bench.stream(2)
    if (i % 300 === 0) bench.propose(`${i}`)
    const next = stream.unanswered[0]
    if (stream.isOpen && next) {
      assert.ok(bench.now - heard < T / 2, 'it would campaign')
      heard = bench.now
      next.request.entries ? stream.refuseOne(ErrorCode.EBUSY) : stream.answerOne()
    }
    bench.advance(1)
  }
  assert.is(bench.state, 'LEADER')
})

test('a peer that answers nothing gets a bounded number of heartbeats, and a new stream after 4 T', () => {
  const bench = NodeBench.leader(6)
  const stream = bench.stream(2)
  for (let i = 0; i < 4 * T - 200; i++) {
    bench.stream(3).answerAll()
    bench.advance(1)
  }
  assert.is(stream.isOpen, true)
  for (let i = 0; i < 500; i++) {
    bench.stream(3).answerAll()
    bench.advance(1)
  }
  assert.is(stream.isOpen, false)
  assert.ok(stream.sent.length <= 64)
  assert.is(bench.stream(2).isOpen, true, 'and it tries again')
})

test('B08 an answer out of order or of an older term counts for nothing and breaks nothing', () => {
  const bench = NodeBench.leader(6)
  const answer = { term: asTerm(6), success: true, lastLogIndex: logIndex(3), readonly: false, short: false, rebuilding: false }
  bench.propose('a')
  bench.propose('b')
  const [, second] = bench.stream(2).unanswered
  bench.stream(2).answer(second!.seq, Status.OK, answer)
  assert.equal([status(bench, 2).matchIndex, status(bench, 2).state], [1, 'blocked'])

  bench.advance(T / 10 + 1)
  bench.stream(2).answerOne()
  bench.stream(2).answerOne({ term: asTerm(5) })
  assert.equal([status(bench, 2).matchIndex, status(bench, 2).state], [1, 'blocked'])
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 1)

  bench.advance(T / 10 + 1)
  bench.take(2)
  assert.is(status(bench, 2).matchIndex, 3)
})

test('a higher term in any answer ends the leadership; what is answered after that is not heard', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  const old = bench.stream(3)
  bench.stream(2).answerOne({ success: false, term: asTerm(8) })
  bench.settle()
  assert.equal([bench.state, bench.term, old.isOpen], ['FOLLOWER', 8, false])
  old.answerAll()
  assert.equal(bench.told.at(-1), 'a EOUTCOMEUNKNOWN')
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 1)
})

test('heartbeats tell a peer what is committed, as far as it is known to hold it', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  bench.take(3)
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 2)
  bench.advance(T / 10)
  const toBehind = bench.stream(2).newest
  assert.equal([toBehind.prevLogIndex, toBehind.entries], [1, null])
  const toLevel = bench.stream(3).newest
  assert.equal([toLevel.prevLogIndex, toLevel.committedIndex], [2, 2])
})

test('a leader that a quorum has not answered for T steps down, dated by when those requests were sent', () => {
  const bench = NodeBench.leader(6)
  const start = bench.now
  bench.until('a heartbeat', () => bench.stream(2).unanswered.length > 0)
  const sentAt = bench.now
  assert.ok(sentAt > start)
  bench.advance(T / 2)
  bench.stream(2).answerOne()
  bench.until('it steps down', () => bench.state === 'FOLLOWER', 2 * T)
  assert.ok(Math.abs(bench.now - (sentAt + T)) <= 2, `stepped down ${bench.now - sentAt} ms after the request was sent`)
})

test('one voter of five that answers is no quorum', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2, 3, 4, 5) })
  for (let i = 0; i < T + 2; i++) {
    bench.stream(2).answerAll()
    bench.advance(1)
  }
  assert.is(bench.state, 'FOLLOWER')
})

test('a rebuilding peer counts for nothing', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2) })
  bench.propose('a')
  bench.stream(2).answerAll({ rebuilding: true })
  bench.settle()
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 1)
  for (let i = 0; i < T + 2; i++) {
    bench.stream(2).answerAll({ rebuilding: true })
    const [status] = bench.node.status().peers
    if (status) assert.ok(status.lastContactMs! <= T / 5, `heard ${status.lastContactMs} ms ago`)
    bench.advance(1)
  }
  assert.is(bench.state, 'FOLLOWER')
})

test('a peer that turns out to have lost its past counts for nothing it acknowledged before, until it counts again', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2, 3, 4, 5) })
  bench.propose('a')
  bench.take(2)
  const replicator = () => bench.impl.replicators.get(peer(2))!
  assert.is(replicator().matchIndex, 2)
  bench.stream(2).break()
  bench.advance(T / 10)
  bench.stream(2).answerOne({ success: false, lastLogIndex: logIndex(0), rebuilding: true })
  bench.settle()
  assert.is(replicator().matchIndex, 0)
  bench.take(3)
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 1, 'two that hold it, of five')
  bench.stream(2).answerAll({ rebuilding: true })
  bench.settle()
  assert.equal([bench.impl.ballotBox.lastCommittedIndex, bench.node.status().peers[0]!.matchIndex], [1, 2])
  bench.advance(T / 10)
  bench.stream(2).answerAll({ rebuilding: false })
  bench.settle()
  assert.equal([bench.impl.ballotBox.lastCommittedIndex, replicator().matchIndex], [2, 2])
})

test('a follower far behind is sent what is on disk', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  bench.elect()
  bench.stream(2).answerOne({ success: false, lastLogIndex: logIndex(0) })
  bench.settle()
  bench.stream(2).answerOne()
  bench.settle()
  assert.equal(texts(bench.stream(2).sent.at(-2)!.request.entries).slice(1), ['2:3:a', '3:3:b', '4:4:c', '5:4:d'])
  bench.take(2)
  assert.is(status(bench, 2).matchIndex, 6)
})

test('B06 a leader that cannot read its log sends nothing in place of what it lacks, and stops', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  bench.elect()
  bench.stream(2).answerOne({ success: false, lastLogIndex: logIndex(0) })
  bench.settle()
  bench.held.log = true
  bench.stream(2).answerOne()
  bench.environment.executor.run()
  bench.disk.failOne()
  bench.settle()
  assert.equal(
    bench.transport.streams.filter(({ to, sent }) => to.port === 2 && sent.some(({ request }) => request.entries)),
    [],
  )
  assert.is(bench.state, 'ERROR')
})

test.run()
