import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClosureGuard, closure, once } from '../../../src/raft/closure.js'
import { AssertionError, ErrorCode, assert as engineAssert, errorName, Status } from '../../../src/raft/errors.js'

function recorder() {
  const told: string[] = []
  return { told, done: closure((status) => told.push(status.toString())) }
}

test('a guard runs its closure on the way out, with the status it was given', () => {
  const { told, done } = recorder()
  {
    using guard = new ClosureGuard(done)
    guard.status = Status.error(ErrorCode.EPERM, 'is not leader')
  }
  assert.equal(told, ['EPERM: is not leader'])
})

test('a guard that nobody gave a status says so, also when the scope throws', () => {
  const { told, done } = recorder()
  assert.throws(() => {
    using _guard = new ClosureGuard(done)
    throw new Error('boom')
  }, /boom/)
  assert.equal(told, ['EINVAL: left without an answer'])
})

test('a released closure belongs to somebody else', () => {
  const { told, done } = recorder()
  {
    using guard = new ClosureGuard(done)
    assert.is(guard.release(), done)
    assert.is(guard.release(), null)
  }
  assert.equal(told, [])
})

test('a guard over nothing does nothing', () => {
  using guard = new ClosureGuard(null)
  assert.is(guard.release(), null)
})

test('once() lets an answer through one time', () => {
  const { told, done } = recorder()
  const answer = once((status) => done.run(status))
  answer(Status.OK)
  assert.throws(() => answer(Status.OK), /ran twice/)
  assert.equal(told, ['OK'])
})

test('errors are known by number', () => {
  assert.is(errorName(ErrorCode.EHIGHERTERMREQUEST), 'EHIGHERTERMREQUEST')
  assert.is(errorName(4711), 'E4711')
  assert.ok(Status.OK.ok)
  assert.not.ok(new Status(4711, 'x').ok)
})

test('an assertion names what it saw', () => {
  engineAssert(true, 'fine')
  try {
    engineAssert(false, 'a gap', { index: 3 })
    assert.unreachable()
  } catch (error) {
    assert.instance(error, AssertionError)
    assert.is((error as AssertionError).message, 'a gap {"index":3}')
  }
})

test.run()
