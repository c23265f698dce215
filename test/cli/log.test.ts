import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type FakeNode, fakeCluster } from '../support/fake-control.js'
import { bothOf, COMMIT, FIRST, LAST, oneOf, type Record, recordAt, serveLogs } from '../support/fake-logs.js'
import type { Document } from '../support/local-clusters.js'
import { CliHome } from '../support/run-cli.js'
import { readSchema } from '../support/schemas.js'

const test = suite('log')
const home = new CliHome('warm')
let nodes: FakeNode[] = []

test.before.each(async () => {
  nodes = await fakeCluster()
  serveLogs(nodes)
})
test.after.each(() => {
  for (const node of nodes) node.close()
})
test.after(() => home.remove())

const both = (...args: string[]) => bothOf(home, nodes[1]!.address, args)
const one = (...args: string[]) => oneOf(home, nodes[1]!.address, args)

const indexes = (document: Document) => document.data.entries.map((row: { index: number }) => row.index)

test('show: the newest, of the leader, committed or not', async () => {
  const { text, document } = await both('show', '--last', '4')
  assert.is(text.exitCode, 0)
  assert.equal(indexes(document), [27, 28, 29, 30])
  assert.equal([document.data.node, document.data.firstIndex, document.data.commitIndex], ['n1', FIRST, COMMIT])
  const lines = text.stdout.trimEnd().split('\n')
  assert.match(lines[1]!, /27 .*← applied$/)
  assert.match(lines[2]!, /28 .*← commit$/)
  assert.match(lines[3]!, /29 .*uncommitted$/)
  assert.equal(indexes(await one('show', '--last', '2', '--committed')), [27, 28])
})

test('show: ranges, filters and raw data', async () => {
  assert.equal(indexes(await one('show', '--from', '20', '--to', '22', '--node', 'n3')), [20, 21, 22])
  assert.equal(indexes(await one('show', '--type', 'config')), [12])
  assert.equal(indexes(await one('show', '--grep', 'K1[57] ')), [15, 17])
  assert.equal(indexes(await one('show', '--term', '8', '--last', '100')).length, LAST - FIRST + 1)
  const document = await one('show', '--from', '20', '--to', '20', '--raw', 'hex')
  assert.is(Buffer.from(document.data.entries[0].hex, 'hex').toString(), 'data of 20')
})

test('show: filters that leave nothing are exit 3; a range that is gone or not there yet is exit 7 and says what is there', async () => {
  assert.is((await both('show', '--term', '9')).text.exitCode, 3)
  const gone = await both('show', '--from', '1', '--to', '9')
  assert.equal([gone.text.exitCode, gone.document.error.code], [7, 'E_COMPACTED'])
  assert.match(gone.document.error.message, 'holds 10 to 30')
  assert.match(gone.text.stderr, 'raftctl log show --from 10')
  const future = await both('show', '--from', '31')
  assert.equal([future.text.exitCode, future.document.error.code], [7, 'E_NO_ENTRY'])
  const partly = await both('show', '--from', '5', '--to', '11')
  assert.equal([partly.text.exitCode, indexes(partly.document)], [0, [10, 11]])
  assert.match(partly.document.warnings[0]!, 'entries 5 to 9 were cut')
})

test('get: the entry in full, and who holds it', async () => {
  nodes[2]!.close()
  const { text, document } = await both('get', '20')
  assert.is(text.exitCode, 0)
  assert.equal(
    document.data.holders.map((row: { node: string; holds: string }) => `${row.node} ${row.holds}`),
    ['n1 same', 'n2 same', 'n3 DOWN'],
  )
  assert.match(text.stdout, 'data of 20')
  assert.match(text.stdout, '2023-11-14T22:13:20.000Z')
  assert.is((await one('get', '5')).error.code, 'E_COMPACTED')
  assert.is((await one('get', '31')).error.code, 'E_NO_ENTRY')
})

test('get: another uncommitted entry is said, another committed one is divergence: exit 10', async () => {
  const of = (index: number, fields: Record) => new Map([[index, { ...recordAt(index), ...fields }]])
  serveLogs(nodes, new Map([[nodes[2]!, of(30, { term: 7 })]]))
  const harmless = await both('get', '30')
  assert.is(harmless.text.exitCode, 0)
  assert.equal(harmless.document.data.holders[2], { node: 'n3', holds: 'other', term: 7, committed: false, applied: false })
  serveLogs(nodes, new Map([[nodes[2]!, of(20, { data: Buffer.from('data of 2O') })]]))
  const diverged = await both('get', '20')
  assert.equal([diverged.text.exitCode, diverged.document.error.code], [10, 'E_DIVERGED'])
  assert.is(diverged.document.data.holders[2].holds, 'other')
})

test('stats: in numbers, and how it reads', async () => {
  for (const node of nodes) {
    node.stats = {
      ...{ first_index: FIRST, last_index: LAST, entries: 21, bytes: 900, segments: 2, snapshot_index: 9 },
      ...{ entries_by_type: { data: 20, configuration: 1 }, bytes_by_type: { data: 800, configuration: 100 }, largest: [recordAt(12)] },
    }
  }
  const { text, document } = await both('stats')
  assert.is(text.exitCode, 0)
  assert.equal([document.data.entries, document.data.behindSnapshot, document.data.byType.length], [21, 21, 2])
  assert.match(text.stdout, '21 entries, 900 B in 2 segments')
  assert.match(text.stdout, 'a start applies the 21 behind it')
})

test('tail without -f is the newest committed ones', async () => {
  assert.equal(indexes((await both('tail', '--last', '2')).document), [27, 28])
  assert.equal(indexes(await one('tail', '--last', '2', '--uncommitted')), [29, 30])
})

test('tail -f --json is one document a line, and 130 when it is interrupted', async () => {
  const child = home.start(['log', 'tail', '-f', '--from', '25', '--json', '-e', nodes[0]!.address])
  const lines: string[] = []
  for await (const line of child) {
    lines.push(String(line))
    if (lines.length === 4) child.kill('SIGINT')
  }
  assert.is((await child).exitCode, 130)
  const rows = lines.map((line) => JSON.parse(line))
  assert.equal(
    rows.map((row) => row.index),
    [25, 26, 27, 28],
  )
  const { Ajv2020 } = await import('ajv/dist/2020.js')
  const validate = new Ajv2020({ strict: true, strictTypes: false }).compile(readSchema('log.tail-line.schema.json'))
  for (const row of rows) assert.ok(validate(row), JSON.stringify(validate.errors))
  assert.not(validate({ ...rows[0], replaces: 'none' }))
  const { node: _, ...withoutNode } = rows[0]
  assert.not(validate(withoutNode))
})

test('tail -f of what was cut off is exit 7; with --json in one line', async () => {
  const text = await home.run(['log', 'tail', '-f', '--from', '3', '-e', nodes[0]!.address])
  assert.is(text.exitCode, 7)
  const json = await home.run(['log', 'tail', '-f', '--from', '3', '-e', nodes[0]!.address, '--json'])
  assert.is(json.exitCode, 7)
})

test.run()
