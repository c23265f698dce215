import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ELECTIONS_MAX, ElectionGate, type ElectionPass } from '../../../src/raft/election-gate.js'

class Gate {
  readonly begun: number[] = []
  readonly passes: ElectionPass[] = []
  private readonly posted: (() => void)[] = []
  private readonly gate = new ElectionGate({ post: (fn) => this.posted.push(fn) })

  enter(count: number): void {
    for (let i = 0; i < count; i++) {
      const number = this.passes.length
      this.passes.push(this.gate.enter(() => this.begun.push(number)))
    }
  }

  leave(number: number): void {
    this.passes[number]!.leave()
  }

  run(): void {
    for (const fn of this.posted.splice(0)) fn()
  }

  get open(): number {
    return this.passes.filter(({ isOpen }) => isOpen).length
  }
}

test('so many elections go on at a time, and the next begins when one is over', () => {
  const gate = new Gate()
  gate.enter(ELECTIONS_MAX + 3)
  assert.is(gate.open, ELECTIONS_MAX)
  assert.equal(gate.begun, [], 'whoever enters an open gate begins by itself')

  gate.leave(0)
  gate.leave(1)
  assert.equal(gate.begun, [], 'not from inside the one that leaves')
  gate.run()
  assert.equal(gate.begun, [ELECTIONS_MAX, ELECTIONS_MAX + 1], 'in the order in which they came')
  assert.is(gate.open, ELECTIONS_MAX)
})

test('who leaves twice makes room for one', () => {
  const gate = new Gate()
  gate.enter(ELECTIONS_MAX + 2)
  gate.leave(0)
  gate.leave(0)
  gate.run()
  assert.equal(gate.begun, [ELECTIONS_MAX])
  assert.is(gate.open, ELECTIONS_MAX)
})

test('who gives up while it waits, or before it begins, does not begin', () => {
  const gate = new Gate()
  gate.enter(ELECTIONS_MAX + 3)
  gate.leave(ELECTIONS_MAX)
  gate.leave(0)
  gate.leave(ELECTIONS_MAX + 1)
  gate.run()
  assert.equal(gate.begun, [ELECTIONS_MAX + 2])

  for (const number of gate.passes.keys()) gate.leave(number)
  gate.run()
  gate.enter(ELECTIONS_MAX + 1)
  assert.is(gate.open, ELECTIONS_MAX, 'no place was lost')
})

test.run()
