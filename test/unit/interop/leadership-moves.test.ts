import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Increment, Outcome } from '../../interop/increment-history.js'
import { failedWhileLed, leadershipMoves } from '../../interop/leadership-moves.js'

function sent(leader: string, invokedAt: number, answeredAt: number, outcome: Outcome = 'acknowledged'): Increment {
  return { client: 1, leader, size: 1, invokedAt, answeredAt, outcome, before: 0n, reason: '', leaderLost: false }
}

test('leadership moves between the last answer of one and the first of the next', () => {
  assert.equal(leadershipMoves([sent('n1', 10, 11), sent('n1', 12, 13), sent('n2', 50, 51), sent('n2', 52, 53)]), [
    { from: -Infinity, to: 11 },
    { from: 12, to: 51 },
  ])
})

test('what fails meanwhile is nobody to blame for, what fails at another time is', () => {
  const before = sent('n1', 14, 30, 'unknown')
  const late = sent('n2', 54, 60, 'unknown')
  const refused = sent('n2', 60, 60, 'failed')
  const others = [sent('n1', 12, 13), sent('n2', 50, 51), sent('n2', 70, 71)]
  assert.equal(failedWhileLed([before, late, refused, ...others]), [late, refused])
})

test('a leader that fails and leads again does not excuse itself', () => {
  const between = sent('n1', 20, 40, 'unknown')
  assert.equal(failedWhileLed([sent('n1', 10, 11), between, sent('n1', 50, 51)]), [between])
})

test('a leader that said it had lost its office moved, also when it leads again', () => {
  const said = { ...sent('n1', 20, 40, 'unknown'), leaderLost: true }
  const meanwhile = sent('n1', 45, 46, 'failed')
  const late = sent('n1', 60, 61, 'failed')
  assert.equal(failedWhileLed([sent('n1', 10, 11), said, meanwhile, sent('n1', 50, 51), late]), [late])
})

test('one that is unanswered at the end failed', () => {
  const last = sent('n1', 20, Infinity, 'pending')
  assert.equal(failedWhileLed([sent('n1', 10, 11), last]), [last])
})

test.run()
