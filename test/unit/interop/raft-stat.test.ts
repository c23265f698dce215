import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { memberStat } from '../../interop/raft-stat.js'
import { FIXTURES } from '../../support/rpc.js'

const captured = (at: number) => memberStat(readFileSync(new URL(`counter-4-peers/raft_stat_${at}.txt`, FIXTURES), 'utf8'))

test('the page of a follower of braft', () => {
  const { peerId, state, term, peers, leader, changing, firstIndex, lastIndex, committedIndex, appliedIndex, snapshotIndex } = captured(0)
  const indices = { firstIndex, lastIndex, committedIndex, appliedIndex, snapshotIndex }
  assert.equal(
    { peerId, state, term, peers, leader, changing, ...indices },
    {
      peerId: '127.0.0.1:8500:0:0',
      state: 'FOLLOWER',
      term: 3,
      peers: ['127.0.0.1:8500:0:0', '127.0.0.1:8501:0:0', '127.0.0.1:8503:0:0'],
      leader: '127.0.0.1:8501:0:0',
      changing: false,
      ...{ firstIndex: 1, lastIndex: 82, committedIndex: 82, appliedIndex: 82, snapshotIndex: 31 },
    },
  )
})

test('the page of a leader of braft', () => {
  const { state, leader, changing, firstIndex, snapshotIndex } = captured(1)
  assert.equal(
    { state, leader, changing, firstIndex, snapshotIndex },
    { state: 'LEADER', leader: null, changing: false, firstIndex: 75, snapshotIndex: 79 },
  )
})

test('a member that knows no leader names none', () => {
  assert.is(captured(2).leader, null)
})

test('a member that waits to be added has no peers', () => {
  const page = readFileSync(new URL('counter-4-peers/raft_stat_0.txt', FIXTURES), 'utf8')
  assert.equal(memberStat(page.replace(/^peers: .*\r$/m, 'peers:\r')).peers, [])
})

test('a page that is none is refused', () => {
  assert.throws(() => memberStat(''), /a page without a node/)
})

test.run()
