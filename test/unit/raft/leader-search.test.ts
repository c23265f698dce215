import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { AskStanding, MemberStanding } from '../../../src/raft/survey.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { peer } from '../../support/entries.js'
import { NodeBench, T } from '../../support/node-bench.js'

const test = suite('LeaderSearch')

type Reply = Partial<MemberStanding> | 'nothing' | null

/** A restarted member of term 5 with two others; each says what the test wants: null fails, 'nothing' is ended by the deadline. */
function restarted(replies: Record<number, Reply>, options = {}) {
  const asked: number[] = []
  const askStanding: AskStanding = (to, timeoutMs, done) => {
    asked.push(to.port)
    const reply = replies[[2, 3].find((n) => to.equals(peer(n)))!] ?? null
    const { clock } = bench.environment
    const lost = Status.error(ErrorCode.ETIMEDOUT, 'no answer')
    const standing = {
      term: asTerm(5),
      leads: false,
      lastId: { index: logIndex(0), term: asTerm(0) },
      members: [peer(1)],
      isChanging: false,
    }
    const timer =
      reply === 'nothing'
        ? clock.schedule(timeoutMs, () => done(lost), 'standing')
        : clock.schedule(1, () => (reply ? done(Status.OK, { ...standing, ...reply }) : done(lost)), 'standing')
    return { cancel: () => timer.cancel() }
  }
  const bench: NodeBench = NodeBench.follower(5, { askStanding, ...options })
  return { bench, asked, preVotes: () => bench.transport.open('preVote').length }
}

test('a member that starts in a led group asks nobody for votes: braft would grant them against its own leader', () => {
  for (const term of [5, 6]) {
    const { bench, asked, preVotes } = restarted({ 2: { leads: true, term: asTerm(term) }, 3: {} })
    bench.advance(3 * T)
    assert.equal([preVotes(), bench.term, asked.length > 2], [0, 5, true])
  }
})

test('where nobody leads it campaigns, as soon as everybody has said so', () => {
  const { bench, preVotes } = restarted({ 2: {}, 3: null })
  const waited = bench.until('a pre-vote', () => preVotes() > 0)
  assert.ok(waited <= T / 2 + 3, `${waited} ms`)
})

test('a leader of an older term is none', () => {
  const { bench, preVotes } = restarted({ 2: { leads: true, term: asTerm(4) }, 3: {} })
  bench.until('a pre-vote', () => preVotes() > 0)
})

test('who does not answer holds it up for T/4 and no longer', () => {
  const { bench, preVotes } = restarted({ 2: 'nothing', 3: {} })
  const waited = bench.until('a pre-vote', () => preVotes() > 0)
  assert.ok(waited >= T / 2 && waited <= (3 * T) / 4 + 3, `${waited} ms`)
})

test('a leader that is heard meanwhile is followed', () => {
  const { bench, asked, preVotes } = restarted({ 2: 'nothing', 3: {} })
  bench.until('the others are asked', () => asked.length > 0)
  bench.append(2, 5)
  bench.advance(T / 2)
  assert.equal([preVotes(), bench.impl.leaderId.equals(peer(2))], [0, true])
})

test('who is left out by a leader that knows no less asks all others, and is removed when they agree', () => {
  const left = { members: [peer(2), peer(3)], lastId: { index: logIndex(9), term: asTerm(5) } }
  const removed = (two: Reply, three: Reply) => {
    const { bench } = restarted({ 2: two, 3: three })
    bench.advance(3 * T)
    return bench.events('node.removed').length
  }
  assert.is(removed({ ...left, leads: true }, left), 1)
  assert.is(removed({ ...left, leads: true }, {}), 0, 'one of them counts it')
  assert.is(removed({ ...left, leads: true, isChanging: true }, left), 0, 'it may be about to be added')
  assert.is(removed(left, left), 0, 'nobody leads')
})

test('who gave its vote while it looked for a leader asks for none before that is durable', () => {
  const { bench, asked, preVotes } = restarted({ 2: 'nothing', 3: {} })
  bench.until('the others are asked', () => asked.length > 0)
  bench.held.meta = true
  bench.vote('requestVote', 3, 5, [9, 5])
  bench.advance(T / 2)
  assert.is(preVotes(), 0)
})

test.run()
