import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Output } from '../../../src/terminal/output.js'
import { type PlanPicture, printPlan } from '../../../src/terminal/plan-view.js'
import { PROJECT } from '../../support/run-cli.js'

const golden = join(PROJECT, 'test', 'unit', 'terminal', 'golden')

const voter = (id: string, leader = false, note: string | null = null) => ({ id, leader, reachable: note === null, note })

const remove: PlanPicture = {
  id: '3f2a1b9c',
  command: 'member remove',
  title: 'remove n3',
  impact: 'membership',
  level: 'moderate',
  context: 'prod',
  clusterId: '7f3a00000000000000000000000000c1',
  before: { voters: [voter('n1', true), voter('n2'), voter('n3', false, 'down 4m12s')], quorum: 2, reachable: 2, tolerates: 0 },
  after: { voters: [voter('n1', true), voter('n2')], quorum: 2, reachable: 2, tolerates: 0 },
  facts: [],
  gates: [
    { gate: 'G1', passed: true, message: 'n1 leads, confirmed by a quorum' },
    { gate: 'G4', passed: true, message: 'no change pending' },
  ],
  warnings: ['two voters: losing either one stops writes. Better: raftctl member replace n3 n4=HOST:PORT'],
  steps: ['commit the configuration {n1, n2}', 'verify on n1 n2', 'n3 is fenced if it comes back'],
  forced: false,
  reason: null,
}

const refused: PlanPicture = {
  ...remove,
  title: 'remove n2',
  after: { voters: [voter('n1', true), voter('n3', false, 'down 4m12s')], quorum: 2, reachable: 1, tolerates: 0 },
  gates: [
    ...remove.gates,
    {
      gate: 'G3',
      passed: false,
      message: 'removing n2 leaves voters n1, n3, but only n1 is reachable: writes would stop; needed 2, reachable 1',
    },
  ],
  warnings: [],
  context: null,
  reason: 'the disk of n2 is being replaced',
}

const bare: PlanPicture = {
  ...remove,
  title: 'restart dev one node at a time',
  context: null,
  clusterId: null,
  before: null,
  after: null,
  facts: ['n1 leads and comes last'],
  gates: [],
  warnings: [],
  steps: ['restart n2', 'restart n3', 'hand over from n1, restart n1'],
}

function printed(plan: PlanPicture, terminal: { isTty: boolean; width: number; unicode?: boolean; colour?: boolean }): string {
  let text = ''
  const style = { colour: false, unicode: true, ...terminal }
  const options = { style, errorStyle: style, quiet: false, verbose: false, wide: false, noHeaders: false }
  printPlan(new Output({ ...options, stdout: (part) => (text += part), stderr: () => {} }), plan)
  return text
}

for (const [name, plan] of Object.entries({ remove, refused, bare })) {
  for (const width of [80, 120]) {
    test(`the plan ${name} at ${width} columns is as agreed and fits`, () => {
      const text = printed(plan, { isTty: true, width })
      const file = join(golden, `plan-${name}-${width}.txt`)
      if (process.env.RAFTCTL_WRITE_GOLDEN === '1') writeFileSync(file, text)
      assert.is(text, readFileSync(file, 'utf8'), 'if this change is meant: RAFTCTL_WRITE_GOLDEN=1')
      for (const line of text.split('\n')) assert.ok([...line].length <= width, `${line.length}: ${line}`)
    })
  }
}

test('on a pipe nothing is broken, and before and after stand under each other', () => {
  const lines = printed(remove, { isTty: false, width: 80 }).split('\n')
  const [before, after] = [lines[1]!, lines[2]!]
  assert.is(before, '  before  3 voters   n1* n2 n3   quorum 2   reachable 2 (n3 down 4m12s)   tolerates 0 more failures')
  assert.is(before.indexOf('quorum'), after.indexOf('quorum'))
  assert.is(before.indexOf('tolerates'), after.indexOf('tolerates'))
})

test('without UTF-8 there is nothing beyond ASCII, and colour changes no column', () => {
  const ascii = printed(refused, { isTty: true, width: 80, unicode: false })
  assert.not.match(ascii, /[^\x20-\x7e\n]/)
  const coloured = printed(refused, { isTty: true, width: 80, colour: true })
  assert.ok(coloured.includes('\u001b[31m'))
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour begins with ESC
  assert.is(coloured.replace(/\u001b\[\d+m/g, ''), printed(refused, { isTty: true, width: 80 }))
})

test('a set that cannot go on says so instead of what it tolerates', () => {
  assert.match(printed(refused, { isTty: false, width: 80 }), /after .*reachable 1 \(n3 down 4m12s\) +writes stop\n/)
})

test.run()
