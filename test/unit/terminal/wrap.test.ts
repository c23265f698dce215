import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CliError } from '../../../src/terminal/errors.js'
import { errorLines } from '../../../src/terminal/output.js'
import { type Column, renderTable } from '../../../src/terminal/table.js'
import { dotted, wrap } from '../../../src/terminal/wrap.js'

const terminal = { colour: false, unicode: true, isTty: true, width: 40 }

test('a command is never broken: it begins a line of its own, and one longer than the terminal is left to it', () => {
  const start = 'raftctl node start --name n4 --listen 127.0.0.1:7504 --join 127.0.0.1:7501'
  assert.equal(wrap(`  n4 does not run yet. Start it:  ${start}`, { width: 40, hanging: 4 }), [
    '  n4 does not run yet. Start it:',
    `    ${start}`,
  ])
})

test('a command ends at a comma, a dot between commands, a wide gap and a bracket', () => {
  assert.equal(wrap('look: raftctl status, raftctl context show', { width: 30, hanging: 2 }), [
    'look: raftctl status,',
    '  raftctl context show',
  ])
  assert.equal(wrap('try:  raftctl status · raftctl kv put hello world', { width: 30, hanging: 2 }), [
    'try:  raftctl status ·',
    '  raftctl kv put hello world',
  ])
  assert.equal(wrap('  do instead:  raftctl member remove n3     (safe: leaves n1 n2, up)', { width: 40, hanging: 4 }), [
    '  do instead:  raftctl member remove n3',
    '    (safe: leaves n1 n2, up)',
  ])
})

test('what fits, and what is not for a terminal, stays on one line', () => {
  assert.equal(wrap('three little words', { width: 18, hanging: 2 }), ['three little words'])
  assert.equal(wrap('three little words', { width: Number.POSITIVE_INFINITY, hanging: 2 }), ['three little words'])
})

test('parts with dots between them are broken at the dots only', () => {
  const line = dotted(['3/3 voters reachable', null, 'leader n3 for 21.3 s', 'term 2'])
  assert.equal(wrap(line, { width: 40, hanging: 2 }), ['3/3 voters reachable ·', '  leader n3 for 21.3 s · term 2'])
  assert.equal(wrap(line, { width: 80, hanging: 2 }), ['3/3 voters reachable · leader n3 for 21.3 s · term 2'])
})

test('every line of a hint is indented, and commands in it stay whole', () => {
  const error = new CliError('E_STILL_MEMBER', 'n3 is still a member of its cluster', {
    hint: 'Remove it first:  raftctl member remove n3\nOr else: nothing',
  })
  assert.equal(errorLines(terminal, error), [
    '✗ E_STILL_MEMBER  n3 is still a member',
    '  of its cluster',
    '  Remove it first:',
    '    raftctl member remove n3',
    '  Or else: nothing',
  ])
})

test('without UTF-8 a table is as wide as what stands for its symbols', () => {
  const columns: Column<string>[] = [
    { name: 'hash', value: (row) => `${row}…` },
    { name: 'keys', value: () => '16', align: 'right' },
  ]
  const text = renderTable(columns, ['5cdc'], { style: { ...terminal, unicode: false, isTty: false }, wide: false, noHeaders: false })
  assert.equal(text.split('\n'), ['HASH     KEYS', '5cdc...    16'])
})

test.run()
