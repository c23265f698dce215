import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { emptyRequest } from '../../../src/raft/append-request.js'
import type { NodeImpl } from '../../../src/raft/node-impl.js'
import type { Replicator } from '../../../src/raft/replicator.js'
import { asTerm, logIndex, NO_INDEX, NO_TERM } from '../../../src/raft/types.js'
import { peer } from '../../support/entries.js'

test('what was said last is said again, and the log is asked again for what it no longer holds', () => {
  let lookedUp = 0
  const log = {
    firstIndex: logIndex(3),
    termAt(index: number) {
      lookedUp++
      return index < this.firstIndex ? NO_TERM : asTerm(4)
    },
  }
  const meta = { term: asTerm(4) }
  const ballotBox = { lastCommittedIndex: logIndex(5) }
  const node = { groupId: 'g', serverId: peer(1), meta, log, ballotBox, precedence: { outranks: () => false } } as unknown as NodeImpl
  const to = { peerId: peer(2) } as unknown as Replicator
  const first = emptyRequest(node, to, logIndex(5), null)
  assert.equal([first.prevLogIndex, first.prevLogTerm, first.committedIndex, lookedUp], [5, 4, 5, 1])
  assert.is(emptyRequest(node, to, logIndex(5), first), first)
  assert.is(lookedUp, 1, 'not looked up again')
  ballotBox.lastCommittedIndex = logIndex(6)
  const later = emptyRequest(node, to, logIndex(6), first)
  assert.equal([later.prevLogIndex, later.committedIndex, lookedUp], [6, 6, 2])
  log.firstIndex = logIndex(9)
  const cut = emptyRequest(node, to, logIndex(6), later)
  assert.equal([cut.prevLogIndex, cut.prevLogTerm], [NO_INDEX, NO_TERM])
  log.firstIndex = logIndex(3)
  meta.term = asTerm(5)
  assert.is(emptyRequest(node, to, logIndex(6), later).prevLogTerm, 4)
  assert.is(lookedUp, 4, 'another term: looked up')
})

test.run()
