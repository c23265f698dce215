import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Done } from '../../../src/raft/closure.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { RaftMeta, RaftMetaStorage } from '../../../src/raft/storage.js'
import { TermVote } from '../../../src/raft/term-vote.js'
import type { Term } from '../../../src/raft/types.js'

const A = PeerId.parse('127.0.0.1:7001')!
const B = PeerId.parse('127.0.0.1:7002')!
const term = (value: number) => value as Term

/** Saves when the test says so. */
class HeldStorage implements RaftMetaStorage {
  readonly saves: { meta: RaftMeta; done: Done }[] = []

  load(done: (status: Status, meta?: RaftMeta) => void): void {
    done(Status.OK, { term: term(1), votedFor: PeerId.EMPTY })
  }

  save(meta: RaftMeta, done: Done): void {
    this.saves.push({ meta, done })
  }

  finish(status = Status.OK): void {
    this.saves.shift()!.done(status)
  }
}

function setUp() {
  const storage = new HeldStorage()
  const failures: Status[] = []
  const meta = new TermVote(
    storage,
    () => {},
    (status) => failures.push(status),
  )
  meta.load(() => {})
  const left: string[] = []
  const say = (text: string) => meta.whenDurable((status) => left.push(status.ok ? `${text} in term ${meta.term}` : `${text} failed`))
  return { storage, meta, failures, left, say }
}

const test = suite('TermVote')

test('a message waits until the term it speaks of is on disk', () => {
  const { storage, meta, left, say } = setUp()
  say('before')
  meta.update(term(2), A)
  say('vote')
  assert.equal(left, ['before in term 1'])
  storage.finish()
  assert.equal(left, ['before in term 1', 'vote in term 2'])
})

test('nothing leaves while any newer term is still being saved, not even what waited for an older save', () => {
  const { storage, meta, left, say } = setUp()
  meta.update(term(2), A)
  say('vote')
  meta.update(term(3), PeerId.EMPTY)
  storage.finish()
  assert.equal(left, [], 'it would have said term 3, which the disk does not know')
  assert.equal(storage.saves[0]!.meta.term, 3)
  storage.finish()
  assert.equal(left, ['vote in term 3'])
})

test('one save at a time, always of the newest', () => {
  const { storage, meta } = setUp()
  for (let value = 2; value < 10; value++) meta.update(term(value), B)
  assert.is(storage.saves.length, 1)
  storage.finish()
  assert.is(storage.saves.length, 1)
  assert.is(storage.saves[0]!.meta.term, 9)
  storage.finish()
  assert.ok(meta.isDurable)
})

test('a failed save lets nothing leave any more', () => {
  const { storage, meta, failures, left, say } = setUp()
  meta.update(term(2), A)
  say('vote')
  storage.finish(Status.error(ErrorCode.EIO, 'broken disk'))
  say('another')
  assert.equal(left, ['vote failed', 'another failed'])
  assert.is(failures.length, 1)
  assert.not(meta.isDurable)
})

test('the term never goes back, and a vote is given once in a term', () => {
  const { meta } = setUp()
  meta.update(term(5), A)
  assert.throws(() => meta.update(term(4), A), /backwards/)
  assert.throws(() => meta.update(term(5), B), /second vote/)
  meta.update(term(6), B)
  assert.ok(meta.votedFor.equals(B))
})

test.run()
