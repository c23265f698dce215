import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Gathering } from '../../../src/raft/gathering.js'
import { ManualClock, ManualExecutor } from '../../support/fake-environment.js'

const test = suite('Gathering')

/** After batches that took 2 ms each, `durableMs` of it for the own disk. */
function measured(durableMs = 2): { clock: ManualClock; gathering: Gathering; ends: () => number } {
  const clock = new ManualClock(new ManualExecutor())
  let ends = 0
  const gathering = new Gathering(clock, () => ends++)
  for (let i = 0; i < 100; i++) {
    gathering.onProposed(1)
    gathering.onCommitted(1, 2, durableMs)
  }
  return { clock, gathering, ends: () => ends }
}

function come(gathering: Gathering, count: number): void {
  for (let i = 0; i < count; i++) gathering.onTask()
}

/** A half waits for one that does not come back; how many batches then go without waiting, with that half. */
function inVain(gathering: Gathering, clock: ManualClock): number {
  gathering.onProposed(32)
  come(gathering, 32)
  assert.is(gathering.waits(), true)
  gathering.onCommitted(32, 2, 2)
  clock.advance(4.1)
  assert.is(gathering.waits(), false)
  for (let batches = 1; ; batches++) {
    gathering.onProposed(32)
    const waits = gathering.waits()
    if (!waits) gathering.onCommitted(32, 2, 2)
    else {
      gathering.reset()
      return batches
    }
  }
}

test('one half waits until the other is committed and has come back', () => {
  const { gathering, ends } = measured()
  come(gathering, 32)
  assert.is(gathering.waits(), false, 'nothing is under way')
  gathering.onProposed(32)
  come(gathering, 32)
  assert.is(gathering.waits(), true)
  gathering.onCommitted(32, 2, 2)
  assert.is(gathering.waits(), true)
  come(gathering, 28)
  assert.is(gathering.waits(), true)
  come(gathering, 1)
  assert.is(gathering.waits(), false)
  gathering.onProposed(61)
  assert.is(ends(), 0)
})

test('those who come back one after the other are waited for', () => {
  const { gathering } = measured()
  gathering.onProposed(64)
  gathering.onCommitted(64, 2, 2)
  come(gathering, 1)
  assert.is(gathering.waits(), true)
  come(gathering, 57)
  assert.is(gathering.waits(), false)
})

test('waiting has an end, and comes the more seldom the more often it was in vain', () => {
  const { clock, gathering, ends } = measured()
  assert.equal([inVain(gathering, clock), inVain(gathering, clock), inVain(gathering, clock), inVain(gathering, clock)], [1, 2, 4, 8])
  assert.is(ends(), 4)
  gathering.onProposed(32)
  come(gathering, 32)
  assert.is(gathering.waits(), true)
  gathering.onCommitted(32, 2, 2)
  come(gathering, 32)
  assert.is(gathering.waits(), false, 'they came back')
  gathering.onProposed(64)
  gathering.onCommitted(64, 2, 2)
  clock.advance(100)
  assert.is(inVain(gathering, clock), 1)
})

test('who came long after the last commit waits for nobody', () => {
  const { clock, gathering } = measured()
  gathering.onProposed(64)
  gathering.onCommitted(64, 2, 2)
  clock.advance(4.1)
  come(gathering, 1)
  assert.is(gathering.waits(), false)
})

test('few tasks wait for nothing, and neither does anybody where the other disks are what takes long', () => {
  const few = measured().gathering
  few.onProposed(3)
  come(few, 1)
  assert.is(few.waits(), false)
  few.onCommitted(3, 2, 2)
  assert.is(few.waits(), false)

  const far = measured(0.9).gathering
  far.onProposed(64)
  come(far, 64)
  assert.is(far.waits(), false)
  const slow = measured(1.1).gathering
  slow.onProposed(64)
  come(slow, 64)
  assert.is(slow.waits(), true)
})

test('before anything was measured nothing waits', () => {
  const gathering = new Gathering(new ManualClock(new ManualExecutor()), () => {})
  gathering.onProposed(64)
  come(gathering, 64)
  assert.is(gathering.waits(), false)
})

test('a lost leadership leaves no timer, and nothing to wait for', () => {
  const { clock, gathering, ends } = measured()
  gathering.onProposed(64)
  come(gathering, 1)
  assert.is(gathering.waits(), true)
  gathering.reset()
  assert.equal(clock.scheduled, [])
  clock.advance(100)
  assert.equal([ends(), gathering.waits()], [0, false])
})

test.run()
