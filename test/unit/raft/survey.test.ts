import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { PeerId } from '../../../src/raft/peer-id.js'
import { type AskStanding, isFresh, type MemberStanding } from '../../../src/raft/survey.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members, peer } from '../../support/entries.js'
import { FakeIdentityStorage, NodeBench, T } from '../../support/node-bench.js'

const test = suite('Survey')

interface Asked {
  readonly peer: PeerId
  isOpen: boolean
  answer(standing: Partial<MemberStanding> | null): void
}

/** A directory without a past in a group of three with braft members; the test answers what it asks. */
class Surveyed {
  readonly asked: Asked[] = []
  readonly bench: NodeBench

  constructor(standing: 'rebuilding' | 'founding' = 'rebuilding') {
    const askStanding: AskStanding = (to, _timeoutMs, done) => {
      const asked: Asked = {
        peer: to,
        isOpen: true,
        answer: (fields) => {
          asked.isOpen = false
          if (fields) done(Status.OK, { ...standingOf(fields) })
          else done(Status.error(ErrorCode.EHOSTDOWN, 'nobody answers'))
          this.bench.settle()
        },
      }
      this.asked.push(asked)
      return { cancel: () => (asked.isOpen = false) }
    }
    this.bench = new NodeBench({ askStanding, identity: new FakeIdentityStorage({ standing, incarnation: 'one', founders: null }) }).init()
  }

  /** The leader 2 of term 5 sends the log up to `last`; its configuration is the first entry. */
  hear(last = 3): void {
    const entries = [configuration(members(1, 2, 3)), 'a', 'b', 'c'].slice(0, last)
    assert.ok(this.bench.append(2, 5, { entries: batch(1, 5, entries), committed: last }).response!.success)
  }

  heartbeat(n = 2, term = 5): void {
    this.bench.append(n, term)
  }

  /** Answers whoever was asked last among those that wait. */
  answer(n: number, fields: Partial<MemberStanding> | null = {}): void {
    this.bench.until(`${n} is asked`, () => this.waiting(n).length > 0)
    this.waiting(n)[0]!.answer(fields)
  }

  waiting(n: number): Asked[] {
    return this.asked.filter((one) => one.isOpen && one.peer.equals(peer(n)))
  }

  get standing(): string {
    return this.bench.node.status().standing
  }
}

function standingOf(fields: Partial<MemberStanding>): MemberStanding {
  const lastId = { index: logIndex(3), term: asTerm(5) }
  return { term: asTerm(5), leads: false, lastId, members: [peer(1), peer(2), peer(3)], isChanging: false, ...fields }
}

test('it counts for braft once all others are in the term of its leader, and votes once it holds that leader’s log', () => {
  const one = new Surveyed()
  assert.is(one.bench.node.countsForBraft, false)
  one.heartbeat()
  one.answer(2, { leads: true })
  assert.is(one.bench.node.countsForBraft, false, 'the leader alone may have been replaced')
  one.answer(3)
  assert.is(one.bench.node.countsForBraft, true)
  assert.is(one.standing, 'rebuilding')
  assert.is(one.bench.vote('requestVote', 3, 6, [9, 5], { peerId: peer(2), term: asTerm(5) }).response!.granted, false)
})

test('with the log it becomes a member; its vote of the term is the leader’s, on disk, before that', () => {
  const one = new Surveyed()
  one.hear(2)
  one.answer(2, { leads: true })
  one.answer(3)
  one.bench.advance(T / 2)
  assert.is(one.standing, 'rebuilding', 'an entry is missing')
  one.bench.held.meta = true
  assert.ok(one.bench.append(2, 5, { prev: [2, 5], entries: batch(3, 5, ['b']), committed: 3 }).response!.success)
  one.bench.advance(T / 2)
  assert.equal([one.bench.meta.pending.at(-1)?.meta, one.standing], [{ term: asTerm(5), votedFor: peer(2) }, 'rebuilding'])
  one.bench.held.meta = false
  one.bench.settle()
  assert.is(one.standing, 'member')
  assert.equal(one.bench.identity!.saved.at(-1)?.standing, 'member')
  assert.is(one.bench.events('node.rebuilt').length, 1)
})

test('it asks as soon as it follows a leader, and is a member as soon as it holds the log: a leader added by braft may hand over at once', () => {
  const one = new Surveyed()
  one.heartbeat()
  const heardAt = one.bench.now
  assert.is(one.waiting(2).length, 1)
  one.waiting(2)[0]!.answer({ leads: true })
  one.waiting(3)[0]!.answer({})
  one.hear(2)
  assert.is(one.standing, 'rebuilding')
  one.bench.append(2, 5, { prev: [2, 5], entries: batch(3, 5, ['b']), committed: 3 })
  assert.equal([one.standing, one.bench.now - heardAt], ['member', 0])
})

test('a leader that replaces the one who was asked is asked instead, at once', () => {
  const one = new Surveyed()
  one.heartbeat()
  assert.is(one.waiting(2).length, 1)
  one.heartbeat(3, 6)
  assert.equal([one.waiting(2).length, one.waiting(3).length], [0, 1])
})

test('a member in a later term, one that does not answer, or a leader that does not lead is no survey', () => {
  for (const [of, wrong] of [
    [3, { term: asTerm(6) }],
    [3, { term: asTerm(4) }],
    [3, null],
    [2, { leads: false }],
    [2, null],
  ] as const) {
    const one = new Surveyed()
    one.hear()
    one.answer(2, of === 2 ? wrong : { leads: true })
    if (of === 3) one.answer(3, wrong)
    one.heartbeat()
    one.bench.advance(T / 4)
    assert.equal([one.bench.node.countsForBraft, one.standing], [false, 'rebuilding'], JSON.stringify(wrong))
    one.heartbeat()
    one.answer(2, { leads: true })
    one.answer(3)
    one.heartbeat()
    one.bench.advance(T / 2)
    assert.equal([one.bench.node.countsForBraft, one.standing], [true, 'member'])
  }
})

test('who was found in a configuration that the leader changes to or from is asked too', () => {
  const one = new Surveyed()
  one.hear()
  one.answer(2, { leads: true, members: [peer(2), peer(3), peer(4)] })
  one.answer(3)
  assert.is(one.bench.node.countsForBraft, false)
  one.answer(4)
  assert.is(one.bench.node.countsForBraft, true)
})

test('another term before it holds the log begins the survey anew; what it counts for is not forgotten', () => {
  const one = new Surveyed()
  one.hear(2)
  one.answer(2, { leads: true })
  one.answer(3)
  one.bench.append(3, 6, { prev: [2, 5], entries: batch(3, 6, [configuration(members(1, 2, 3))]), committed: 3 })
  one.bench.advance(T / 2)
  assert.equal([one.standing, one.bench.node.countsForBraft], ['rebuilding', true])
  const lastId = { index: logIndex(3), term: asTerm(6) }
  one.answer(3, { term: asTerm(6), leads: true, lastId })
  one.answer(2, { term: asTerm(6) })
  one.bench.advance(T / 2)
  assert.is(one.standing, 'member')
})

test('a member that was not asked, because it came later, begins the survey anew', () => {
  const one = new Surveyed()
  one.hear(2)
  one.answer(2, { leads: true })
  one.answer(3)
  one.bench.append(2, 5, { prev: [2, 5], entries: batch(3, 5, [configuration(members(1, 2, 3, 4))]), committed: 3 })
  one.bench.advance(T / 2)
  assert.is(one.standing, 'rebuilding')
  one.heartbeat()
  one.answer(2, { leads: true, members: [1, 2, 3, 4].map(peer) })
  one.answer(3)
  one.answer(4)
  one.heartbeat()
  one.bench.advance(T / 2)
  assert.is(one.standing, 'member')
})

test('what the leader wrote at the end of its log then may be another entry here: it asks again', () => {
  const one = new Surveyed()
  one.hear(3)
  one.answer(2, { leads: true, lastId: { index: logIndex(3), term: asTerm(4) } })
  one.answer(3)
  one.bench.advance(T / 2)
  assert.is(one.standing, 'rebuilding')
  one.heartbeat()
  one.answer(2, { leads: true })
  one.answer(3)
  one.heartbeat()
  one.bench.advance(T / 2)
  assert.is(one.standing, 'member')
})

test('while it is in no configuration it asks, and does not become a member', () => {
  const one = new Surveyed()
  one.bench.append(2, 5, { entries: batch(1, 5, [configuration(members(2, 3)), 'a', 'b']), committed: 3 })
  one.answer(2, { leads: true, members: [peer(2), peer(3)] })
  one.answer(3)
  one.bench.advance(T)
  assert.equal([one.bench.node.countsForBraft, one.standing], [true, 'rebuilding'])
})

test('a braft founder is asked for its standing: a fresh one founds with the others, any other means that the group has begun', () => {
  for (const begun of [false, true]) {
    const one = new Surveyed('founding')
    const { transport } = one.bench
    const unknown = Status.error(ErrorCode.ENOMETHOD, 'it is a braft node')
    transport.open('hello', peer(2))[0]!.finish(unknown)
    transport.open('hello', peer(3))[0]!.finish(unknown)
    const fresh = { term: asTerm(1), lastId: { index: logIndex(0), term: asTerm(0) } }
    one.answer(2, fresh)
    assert.equal(one.bench.told, [])
    one.answer(3, begun ? { ...fresh, term: asTerm(2) } : fresh)
    assert.equal([one.bench.told, one.standing], [['init OK'], begun ? 'rebuilding' : 'member'])
    const founders = begun
      ? null
      : new Map([
          [peer(1).key, 'one'],
          [peer(2).key, 'braft'],
          [peer(3).key, 'braft'],
        ])
    assert.equal(one.bench.identity!.saved.at(-1)?.founders, founders)
    assert.is(one.bench.vote('requestVote', 2, 3, [9, 2]).response!.granted, !begun)
    assert.is(one.bench.node.status().configuration.isEmpty, begun, 'who the members are it hears from a leader')
  }
})

test('a raftctl founder of the group that has begun means the same, and does not end the node', () => {
  const one = new Surveyed('founding')
  const record = new Map([[peer(1).key, 'another']])
  const hello = { incarnation: 'two', standing: 'member' as const, bootId: 'b', founders: record, lastLogIndex: logIndex(4) }
  one.bench.transport.open('hello', peer(2))[0]!.finish(Status.OK, hello)
  one.bench.settle()
  assert.equal([one.bench.told, one.standing], [['init OK'], 'rebuilding'])
})

test('fresh is who never voted, leads nobody and has written nothing', () => {
  const fresh = standingOf({ term: asTerm(1), lastId: { index: logIndex(0), term: asTerm(0) } })
  assert.ok(isFresh(fresh))
  assert.not(isFresh({ ...fresh, term: asTerm(2) }))
  assert.not(isFresh({ ...fresh, leads: true }))
  assert.not(isFresh({ ...fresh, lastId: { index: logIndex(1), term: asTerm(1) } }))
})

test('a leader that does not say who was a member until now is asked again', () => {
  const one = new Surveyed()
  one.heartbeat()
  one.answer(2, { leads: true, isChanging: true, members: [peer(1), peer(2)] })
  one.bench.advance(1)
  assert.equal([one.waiting(3).length, one.bench.node.countsForBraft], [0, false])
  one.answer(2, { leads: true })
  one.answer(3)
  assert.is(one.bench.node.countsForBraft, true)
})

test.run()
