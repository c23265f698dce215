import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { paint, styleOf, visibleWidth } from '../../../src/terminal/colour.js'
import { didYouMean, editDistance } from '../../../src/terminal/did-you-mean.js'
import { bytes, count, duration, millisecondsBeside, parseDuration, parseLatency } from '../../../src/terminal/format.js'
import { type Column, renderTable } from '../../../src/terminal/table.js'

test('numbers are grouped by thousands, and unknown is a dash', () => {
  assert.is(count(1_284_511), '1,284,511')
  assert.is(count(0), '0')
  assert.is(count(null), '-')
  assert.is(bytes(412_000_000), '412 MB')
  assert.is(bytes(999), '999 B')
  assert.is(bytes(1_500), '1.5 KB')
})

test('durations are written with the two largest units', () => {
  assert.is(duration(12), '12 ms')
  assert.is(duration(4_200), '4.2 s')
  assert.is(duration(252_000), '4m12s')
  assert.is(duration(8_040_000), '2h14m')
  assert.is(duration(7_200_000), '2h00m')
  assert.is(duration(273_600_000), '3d4h')
})

test('durations are read with units, and refused without', () => {
  assert.is(parseDuration('500ms'), 500)
  assert.is(parseDuration('1.5m'), 90_000)
  assert.is(parseDuration('1m30s'), 90_000)
  assert.is(parseDuration('5'), null)
  assert.is(parseDuration('5s later'), null)
  assert.is(parseDuration(''), null)
  assert.is(parseDuration('-5s'), null)
})

test('latencies are read down to a microsecond, and refused without a unit', () => {
  assert.equal([parseLatency('1us'), parseLatency('0.5ms'), parseLatency('20ms'), parseLatency('1.5s')], [0.001, 0.5, 20, 1500])
  for (const wrong of ['20', '', 'ms', '-1ms', '1m', '1s200ms', '20ms ']) assert.is(parseLatency(wrong), null, wrong)
})

test('a latency above its limit never looks like the limit', () => {
  assert.is(millisecondsBeside(130.2, 100), '130')
  assert.is(millisecondsBeside(100.4, 100), '100.4')
})

test('a swap of neighbours counts as one edit', () => {
  assert.is(editDistance('lsit', 'list'), 1)
  assert.is(editDistance('kitten', 'sitting'), 3)
  assert.is(editDistance('', 'abc'), 3)
})

test('a likely word is suggested, an unlikely one is not', () => {
  assert.is(didYouMean('wacth', ['watch', 'wide', 'json']), 'watch')
  assert.is(didYouMean('STATUS', ['status']), 'status')
  assert.is(didYouMean('frobnicate', ['watch', 'wide', 'json']), null)
})

test('NO_COLOR beats FORCE_COLOR, which beats the terminal; TERM=dumb has none', () => {
  const colour = (tty: boolean, env: NodeJS.ProcessEnv, noColor = false) => styleOf({ isTTY: tty }, { env, noColor }).colour
  assert.is(colour(true, {}), true)
  assert.is(colour(false, {}), false)
  assert.is(colour(false, { FORCE_COLOR: '1' }), true)
  assert.is(colour(true, { FORCE_COLOR: '1', NO_COLOR: '1' }), false)
  assert.is(colour(true, { TERM: 'dumb' }), false)
  assert.is(colour(true, {}, true), false)
})

interface Row {
  readonly name: string
  readonly size: number
}

const columns: Column<Row>[] = [
  { name: 'name', value: (row) => row.name },
  { name: 'size', value: (row) => count(row.size), align: 'right', priority: 1 },
  { name: 'twice', value: (row) => count(2 * row.size), align: 'right', priority: 2 },
  { name: 'secret', value: () => 'x', wide: true },
]
const rows: Row[] = [
  { name: 'a', size: 5 },
  { name: 'bcd', size: 1_234 },
]
const pipe = styleOf({}, { env: { LANG: 'C.UTF-8' } })
const terminal = (columnCount: number) => styleOf({ isTTY: true, columns: columnCount }, { env: { LANG: 'C.UTF-8', NO_COLOR: '1' } })

test('a pipe gets every column, aligned, numbers on the right', () => {
  assert.is(renderTable(columns, rows, { style: pipe }), 'NAME   SIZE  TWICE\na         5     10\nbcd   1,234  2,468')
})

test('a terminal gets the same picture as a pipe where it fits', () => {
  assert.is(renderTable(columns, rows, { style: terminal(80) }), renderTable(columns, rows, { style: pipe }))
})

test('a narrow terminal loses the least important column first, and the first never', () => {
  assert.is(renderTable(columns, rows, { style: terminal(12) }), 'NAME   SIZE\na         5\nbcd   1,234')
  assert.is(renderTable(columns, rows, { style: terminal(3) }), 'NAME\na\nbcd')
})

test('a column that is too wide for the terminal does not keep narrower ones out', () => {
  const withNote = [...columns, { name: 'note', value: () => 'longer than the terminal', priority: 1 } satisfies Column<Row>]
  assert.is(renderTable(withNote, rows, { style: terminal(19) }), renderTable(columns, rows, { style: pipe }))
  assert.match(renderTable(withNote, rows, { style: terminal(38) }), /SIZE {2}NOTE/)
})

test('--columns chooses and orders, --wide shows all, --no-headers drops the headers', () => {
  assert.is(renderTable(columns, rows, { style: pipe, columns: ['size', 'NAME'] }).split('\n')[0], ' SIZE  NAME')
  assert.match(renderTable(columns, rows, { style: pipe, wide: true }), 'SECRET')
  assert.is(renderTable(columns, rows, { style: pipe, noHeaders: true }).split('\n').length, 2)
})

test('an unknown column is a usage error that names the likely one', () => {
  assert.throws(
    () => renderTable(columns, rows, { style: pipe, columns: ['nmae'] }),
    (error: Error & { code: string }) => error.code === 'E_USAGE' && /did you mean name/.test(error.message),
  )
})

test('colour takes no width and is nothing where it is off', () => {
  const style = styleOf({ isTTY: true }, { env: {} })
  assert.is(visibleWidth(paint(style, 'red', 'DOWN')), 4)
  assert.is(paint(pipe, 'red', 'DOWN'), 'DOWN')
})

test.run()
