import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { grepPattern, type LogFilter, type LogLine, NodeLogs } from '../../../src/local/node-logs.js'
import type { LocalNode } from '../../../src/local/state-file.js'

const test = suite<{ home: string }>('node logs')

test.before.each((context) => {
  context.home = mkdtempSync(join(tmpdir(), 'node-logs-'))
})
test.after.each(({ home }) => rmSync(home, { recursive: true, force: true }))

const everything: LogFilter = { sinceMs: null, level: null, pattern: null }
const node = (home: string, name: string) => ({ name, logFile: join(home, `${name}.log`) }) as LocalNode
const record = (second: number, msg: string, more: object = {}) =>
  `${JSON.stringify({ level: 'info', time: new Date(second * 1000).toISOString(), node: 'n1', msg, ...more })}\n`
const messages = (lines: readonly LogLine[]) => lines.map((line) => line.message)

test('lines of several nodes are merged in order of time', ({ home }) => {
  writeFileSync(node(home, 'n1').logFile, record(1, 'a') + record(4, 'd'))
  writeFileSync(node(home, 'n2').logFile, record(2, 'b') + record(3, 'c', { term: 7, list: [1] }))
  const lines = new NodeLogs([node(home, 'n1'), node(home, 'n2'), node(home, 'none')], everything).read()
  assert.equal(messages(lines), ['a', 'b', 'c', 'd'])
  assert.equal(lines[2], { node: 'n2', timeMs: 3000, level: 'info', message: 'c', fields: { term: 7, list: [1] } })
})

test('what is no record keeps its place and counts as an error', ({ home }) => {
  writeFileSync(node(home, 'n1').logFile, `first\n${record(5, 'a')}Error: boom\n    at x\n{"half\n${record(6, 'b')}`)
  writeFileSync(node(home, 'n2').logFile, record(5.5, 'between'))
  const lines = new NodeLogs([node(home, 'n1'), node(home, 'n2')], everything).read()
  assert.equal(messages(lines), ['first', 'a', 'Error: boom', 'at x', '{"half', 'between', 'b'])
  assert.equal(
    lines.map((line) => line.timeMs),
    [null, 5000, 5000, 5000, 5000, 5500, 6000],
  )
  assert.is(lines[2]!.level, 'error')
})

test('level, time and pattern each leave out what they should', ({ home }) => {
  const now = Date.now() / 1000
  writeFileSync(
    node(home, 'n1').logFile,
    record(now - 60, 'old', { level: 'fatal' }) +
      record(now, 'debugging', { level: 'debug' }) +
      record(now, 'warned', { level: 'warn' }) +
      record(now, 'numbered', { level: 50 }),
  )
  const read = (filter: Partial<LogFilter>) => messages(new NodeLogs([node(home, 'n1')], { ...everything, ...filter }).read())
  assert.equal(read({ level: 'warn' }), ['old', 'warned', 'numbered'])
  assert.equal(read({ sinceMs: 30_000 }), ['debugging', 'warned', 'numbered'])
  assert.equal(read({ pattern: grepPattern('WARN') }), ['warned'])
  assert.equal(read({ level: 'error', sinceMs: 30_000 }), ['numbered'])
})

test('half a line waits for its other half, multi-byte characters too', ({ home }) => {
  const { logFile } = node(home, 'n1')
  const bytes = Buffer.from(record(1, 'größe'))
  const cut = bytes.indexOf(0xc3) + 1
  const logs = new NodeLogs([node(home, 'n1')], everything)
  writeFileSync(logFile, bytes.subarray(0, cut))
  assert.equal(logs.read(), [])
  appendFileSync(logFile, bytes.subarray(cut, cut + 3))
  assert.equal(logs.read(), [])
  const last = record(3, 'last')
  appendFileSync(logFile, Buffer.concat([bytes.subarray(cut + 3), Buffer.from(record(2, 'next') + last.slice(0, 9))]))
  assert.equal(messages(logs.read()), ['größe', 'next'])
  assert.equal(logs.read(), [])
  appendFileSync(logFile, last.slice(9))
  assert.equal(messages(logs.read()), ['last'])
})

test('a file that was replaced or cut is read from its beginning', ({ home }) => {
  const { logFile } = node(home, 'n1')
  const logs = new NodeLogs([node(home, 'n1')], everything)
  writeFileSync(logFile, record(1, 'a') + record(2, 'b'))
  assert.is(logs.read().length, 2)
  writeFileSync(logFile, record(3, 'c'))
  assert.equal(messages(logs.read()), ['c'])
  writeFileSync(`${logFile}.new`, record(4, 'd') + record(5, 'e'))
  renameSync(`${logFile}.new`, logFile)
  assert.equal(messages(logs.read()), ['d', 'e'])
})

test('following yields what is there, then what is written, until it is told to stop', async ({ home }) => {
  const { logFile } = node(home, 'n1')
  writeFileSync(logFile, record(1, 'before'))
  const stop = new AbortController()
  const seen: string[] = []
  for await (const line of new NodeLogs([node(home, 'n1')], everything).follow(stop.signal)) {
    seen.push(line.message)
    if (line.message === 'before') appendFileSync(logFile, record(2, 'after'))
    else stop.abort()
  }
  assert.equal(seen, ['before', 'after'])
})

test('a pattern that is none is a mistake of usage', () => {
  assert.throws(
    () => grepPattern('('),
    (error: { code: string }) => error.code === 'E_USAGE',
  )
  assert.is(grepPattern(undefined), null)
})

test.run()
