import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SynchronizedClosure } from '../../../src/raft/closure.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'

test('whoever waits, before or after it ran, is told the status', async () => {
  const done = new SynchronizedClosure()
  const told: (Status | string)[] = []
  done.wait((status) => told.push(status))
  assert.is(done.status, null)
  done.run(Status.error(ErrorCode.EPERM, 'no leader'))
  done.wait((status) => told.push(status))
  assert.equal(
    told.map((status) => `${status}`),
    ['EPERM: no leader', 'EPERM: no leader'],
  )
  assert.is((await done).code, ErrorCode.EPERM)
})

test('it runs once, until it is reset', () => {
  const done = new SynchronizedClosure()
  done.run(Status.OK)
  assert.throws(() => done.run(Status.OK), /closure ran twice/)
  done.reset()
  assert.is(done.status, null)
  done.wait(() => {})
  assert.throws(() => done.reset(), /others wait/)
  done.run(Status.OK)
  assert.ok(done.status)
})

test('who waited for one task is not told of the next', () => {
  const done = new SynchronizedClosure()
  const told: string[] = []
  done.wait((status) => told.push(`first ${status.ok}`))
  done.run(Status.OK)
  done.reset()
  done.wait((status) => told.push(`second ${status.ok}`))
  done.run(Status.error(ErrorCode.EPERM, 'no leader'))
  assert.equal(told, ['first true', 'second false'])
})

test.run()
