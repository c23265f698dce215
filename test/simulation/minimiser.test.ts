import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Done } from '../../src/raft/closure.js'
import { Status } from '../../src/raft/errors.js'
import type { SnapshotReader } from '../../src/raft/storage.js'
import { invariantOf, Minimiser } from './minimiser.js'
import { RegisterMachine } from './register-machine.js'
import { formatScript, parseScript } from './script.js'
import { Swarm } from './swarm.js'
import { planOf } from './swarm-plan.js'

/** A state machine that loads nothing of its snapshots, as long as `body` runs. */
function withForgetfulMachine<T>(body: () => T): T {
  const { onSnapshotLoad } = RegisterMachine.prototype
  RegisterMachine.prototype.onSnapshotLoad = function (this: RegisterMachine, reader: SnapshotReader, done: Done): void {
    this.listener.loaded(this, reader.meta.lastIncluded.index)
    done(Status.OK)
  }
  try {
    return body()
  } finally {
    RegisterMachine.prototype.onSnapshotLoad = onSnapshotLoad
  }
}

function firstFailing(from: number): Swarm {
  for (let seed = from; ; seed++) {
    const swarm = Swarm.ofSeed(seed)
    if (swarm.run().violation !== null) return swarm
  }
}

test('a failing seed is cut down to the few decisions that it needs, in a smaller world', () => {
  const { drawn, minimised, again } = withForgetfulMachine(() => {
    const drawn = firstFailing(40)
    const minimised = new Minimiser(drawn.script, { runsMax: 300 }).minimise()!
    const again = Swarm.ofScript(parseScript(formatScript(minimised.script))).run()
    return { drawn, minimised, again }
  })
  const { script, violation } = minimised
  assert.ok(drawn.decisions.length > 100, `${drawn.decisions.length} decisions`)
  assert.ok(script.decisions.length <= 6, formatScript(script))
  assert.match(violation, /^a snapshot is the state of the log: /)
  assert.is(again.violation, violation, 'its text fails in the same way')
  assert.ok(script.world.cluster.size <= drawn.world.cluster.size)
  assert.is(script.world.cluster.network!.lossRate, 0)
  assert.is(Swarm.ofScript(script).run().violation, null, 'and it passes once the machine remembers')
})

test('what does not fail is not cut down', () => {
  const { world } = planOf(30)
  assert.is(new Minimiser({ world: { ...world, safetyMs: 10 }, decisions: [] }).minimise(), null)
})

test('the same failure is known by its invariant, not by its numbers', () => {
  assert.is(invariantOf('log matching: n2 and n3 differ at 14'), invariantOf('log matching: n1 and n4 differ at 9'))
  assert.is.not(invariantOf('log matching: n2 and n3 differ at 14'), invariantOf('leader completeness: n2 lacks 14'))
  assert.is(invariantOf('AssertionError: the term went backwards: 3\n  at x'), invariantOf('AssertionError: the term went backwards: 7'))
  assert.is(invariantOf('n1 does not start: EIO'), invariantOf('n3 does not start: ECORRUPT'))
})

test.run()
