import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Decision } from './decisions.js'
import { formatScript, parseScript } from './script.js'
import { Swarm } from './swarm.js'
import { planOf } from './swarm-plan.js'

const DECISIONS: readonly Decision[] = [
  { at: 0.125, kind: 'write', who: 'leader', key: 3, bytes: 20 },
  { at: 12, kind: 'power', who: 'n2', keep: 0.2, poweredOn: false, forMs: 300.001 },
  { at: 13.5, kind: 'split', one: ['n1'], other: ['leader', 'n3'], forMs: 10 },
  { at: 13.5, kind: 'oneWay', from: [], to: ['n3'], forMs: 1 },
  { at: 14, kind: 'point', who: 'any', name: 'meta.slot-saved', strike: 'fail', keep: 0.5, forMs: 9 },
  { at: 20, kind: 'transfer', who: 'leader' },
  { at: 21, kind: 'transfer', who: 'leader', target: 'n3' },
]

test('a script is read back as it was written', () => {
  const { world } = planOf(11)
  const text = formatScript({ world, decisions: DECISIONS }, ['why it is kept'])
  assert.equal(parseScript(text), { world, decisions: DECISIONS })
  assert.match(text, /^# why it is kept\n/)
  assert.match(text, /^12 power n2 keep=0\.2 poweredOn=false forMs=300\.001$/m)
  assert.match(text, /^20 transfer leader$/m)
})

test('what is neither world nor decision is refused', () => {
  for (const line of ['12 explode n2', 'power n2', 'x power n2', 'size: 3']) assert.throws(() => parseScript(`${line}\n`), line)
})

test('the script of a run does the same again', () => {
  for (const seed of [30, 33, 88]) {
    const drawn = Swarm.ofSeed(seed)
    const first = drawn.run()
    const second = Swarm.ofScript(parseScript(formatScript(drawn.script))).run()
    assert.equal(second.counters, first.counters, `seed ${seed}`)
    assert.is(second.simMs, first.simMs, `seed ${seed}`)
    assert.ok(drawn.decisions.length > 100)
  }
})

test.run()
