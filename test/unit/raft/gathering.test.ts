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
    gathering.onCommitted(1, 2, durableMs, 2)
  }
  return { clock, gathering, ends: () => ends }
}

function come(gathering: Gathering, count: number): void {
  for (let i = 0; i < count; i++) gathering.onTask()
}

/** So many commits, for each whether a half that comes while another is under way waits for it; `latency` of either. */
function commits(gathering: Gathering, count: number, latency: { gathered: number; plain: number }): string {
  return Array.from({ length: count }, () => {
    gathering.onProposed(32)
    const waits = gathering.waits()
    gathering.onCommitted(32, 2, 2, waits ? latency.gathered : latency.plain)
    gathering.letGo()
    return waits ? 'g' : 'p'
  })
    .join('')
    .replace(/(.)\1*/g, (run) => `${run[0]}${run.length} `)
    .trim()
}

test('one half waits until the other is committed and has come back', () => {
  const { gathering, ends } = measured()
  come(gathering, 32)
  assert.is(gathering.waits(), false, 'nothing is under way')
  gathering.onProposed(32)
  come(gathering, 32)
  assert.is(gathering.waits(), true)
  gathering.onCommitted(32, 2, 2, 2)
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
  gathering.onCommitted(64, 2, 2, 2)
  come(gathering, 1)
  assert.is(gathering.waits(), true)
  come(gathering, 57)
  assert.is(gathering.waits(), false)
})

test('waiting has an end', () => {
  const { clock, gathering, ends } = measured()
  gathering.onProposed(32)
  come(gathering, 32)
  assert.is(gathering.waits(), true)
  clock.advance(3.9)
  assert.equal([ends(), gathering.waits()], [0, true])
  clock.advance(0.2)
  assert.equal([ends(), gathering.waits()], [1, false])
  gathering.onProposed(32)
  assert.is(gathering.waits(), true, 'the next may wait again')
})

test('both ways are tried, and the one by which tasks are committed sooner goes on; the other is tried ever more seldom', () => {
  assert.is(commits(measured().gathering, 250, { gathered: 2, plain: 3 }), 'g20 p20 g40 p20 g36 p20 g68 p20 g6')
  assert.is(commits(measured().gathering, 250, { gathered: 3, plain: 2 }), 'g20 p20 g20 p36 g20 p68 g20 p46')
})

test('when the other way has become the better one it is found, and tried against soon', () => {
  const { gathering } = measured()
  commits(gathering, 120, { gathered: 2, plain: 3 })
  assert.is(commits(gathering, 400, { gathered: 3, plain: 2 }), 'g16 p40 g20 p36 g20 p68 g20 p132 g20 p28')
})

test('who came long after the last commit waits for nobody', () => {
  const { clock, gathering } = measured()
  gathering.onProposed(64)
  gathering.onCommitted(64, 2, 2, 2)
  clock.advance(4.1)
  come(gathering, 1)
  assert.is(gathering.waits(), false)
})

test('few tasks wait for nothing, and neither does anybody where the other disks are what takes long', () => {
  const few = measured().gathering
  few.onProposed(3)
  come(few, 1)
  assert.is(few.waits(), false)
  few.onCommitted(3, 2, 2, 2)
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
