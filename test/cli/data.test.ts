import { readdirSync, rmSync, symlinkSync, truncateSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BRAFT_FIXTURES, BRAFT_NODES, DataDirectories, everyFile, flip, putSnapshot } from '../support/data-directories.js'
import { type Document, documentOf } from '../support/local-clusters.js'
import { CliHome, PROJECT } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('data')
const home = new CliHome('warm')
const directories = new DataDirectories()
test.after(() => {
  home.remove()
  directories.remove()
})

const sealedOf = (path: string) => join(path, 'log', readdirSync(join(path, 'log')).find((name) => /^log_\d/.test(name))!)

/** Runs with and without --json: the exit codes have to agree, and the document has to be as declared. */
async function both(args: readonly string[]) {
  const text = await home.run(args)
  const document = documentOf(await home.run([...args, '--json']), args)
  assert.is(document.exitCode, text.exitCode, text.stderr)
  return { text, document }
}

test('inspect, verify and log read every directory of braft: exit 0', async () => {
  for (const node of BRAFT_NODES) {
    const path = resolve(PROJECT, BRAFT_FIXTURES, node, 'data')
    const inspected = await both(['data', 'inspect', path])
    assert.is(inspected.text.exitCode, 0)
    assert.match(inspected.text.stdout, 'written by braft')
    assert.is(inspected.document.data.groups[0].log.last, { n0: 82, n1: 82, n2: 63, n3: 82 }[node])
    const verified = await both(['data', 'verify', path])
    assert.is(verified.document.data.verdict, 'ok')
    const log = await both(['data', 'log', path, '--decode', 'counter', '--last', '2'])
    assert.is(log.document.data.entries.length, 2)
    assert.is(log.document.data.entries[1].committed, null)
    assert.match(log.text.stdout, /^INDEX {2}TERM {2}TYPE/)
  }
})

test('damage is exit 10 with its file, offset and index, in each of the three; the rows stand beside the error', async () => {
  const path = directories.raftctl()
  flip(sealedOf(path), 34 + 30)
  const before = everyFile(path)
  const { text, document } = await both(['data', 'verify', path])
  assert.is(text.exitCode, 10)
  assert.is(document.error.code, 'E_CORRUPT')
  const [finding] = document.data.findings
  assert.equal([finding.file, finding.severity, finding.kind], [sealedOf(path), 'damage', 'bad-entry'])
  assert.match(text.stdout, `offset ${finding.offset}  index ${finding.index}`)
  assert.match(text.stdout, /fix: mv .*--rebuild/)
  assert.is((await both(['data', 'inspect', path])).text.exitCode, 10)
  assert.is((await both(['data', 'log', path])).text.exitCode, 10)
  assert.equal(everyFile(path), before, 'nothing was changed')
})

test('a torn tail is exit 0 with a warning', async () => {
  const path = directories.braft('n2')
  const open = join(path, 'log', 'log_inprogress_00000000000000000038')
  truncateSync(open, 700)
  const { text, document } = await both(['data', 'verify', path])
  assert.is(text.exitCode, 0)
  assert.is(document.data.verdict, 'torn')
  assert.match(document.warnings[0]!, /torn tail.*offset \d+, index \d+/)
  assert.match(text.stderr, 'torn tail')
})

test('a damaged snapshot is exit 10', async () => {
  const path = directories.raftctl()
  flip(putSnapshot(path, { index: 20, term: 2, data: Buffer.alloc(300, 'x') }), 200)
  const { document } = await both(['data', 'verify', path])
  assert.is(document.exitCode, 10)
  assert.is(document.data.findings[0].kind, 'snapshot-file')
})

test('log: filters, ranges and raw data', async () => {
  const path = directories.raftctl()
  const entries = async (...args: string[]) => (await both(['data', 'log', path, ...args])).document.data.entries
  assert.is((await entries()).length, 20)
  assert.equal(
    (await entries('--from', '29', '--to', '32')).map((row: { term: number }) => row.term),
    [2, 2, 3, 3],
  )
  assert.is((await entries('--term', '3', '--last', '100')).length, 10)
  assert.equal(
    (await entries('--type', 'config')).map((row: { summary: string }) => row.summary),
    ['voters 127.0.0.1:7001 127.0.0.1:7002 127.0.0.1:7003'],
  )
  assert.is((await entries('--grep', 'VOTERS')).length, 1)
  const [raw] = await entries('--from', '40', '--raw', 'hex')
  assert.is(Buffer.from(raw.hex, 'hex').toString(), 'entry 0040')
})

test('log: filters that leave nothing are exit 3, a range that is not there is exit 7', async () => {
  const path = directories.braft('n1')
  assert.is((await both(['data', 'log', path, '--term', '9'])).text.exitCode, 3)
  const compacted = await both(['data', 'log', path, '--from', '1', '--to', '20'])
  assert.equal([compacted.text.exitCode, compacted.document.error.code], [7, 'E_COMPACTED'])
  assert.match(compacted.document.error.message, /its log holds \d+ to 82/)
  const future = await both(['data', 'log', path, '--from', '100'])
  assert.equal([future.text.exitCode, future.document.error.code], [7, 'E_NO_ENTRY'])
})

test('what cannot be read is exit 6 or 7, a contradiction exit 2', async () => {
  for (const command of ['inspect', 'verify', 'log']) {
    const missing = await both(['data', command, join(home.directory, 'nowhere')])
    assert.equal([missing.text.exitCode, missing.document.error.code], [7, 'E_NO_DATA_DIR'])
    assert.is((await both(['data', command, home.directory])).text.exitCode, 7)
    assert.is((await both(['data', command, directories.raftctl(), '-g', 'other'])).document.error.code, 'E_NO_GROUP')
    assert.is((await both(['data', command])).text.exitCode, 2)
  }
  const path = directories.raftctl()
  assert.is((await both(['data', 'log', path, '--from', '1', '--last', '2'])).text.exitCode, 2)
  assert.is((await both(['data', 'log', path, '--from', '3', '--to', '2'])).text.exitCode, 2)
  assert.is((await both(['data', 'log', path, '--grep', '('])).text.exitCode, 2)
  assert.is((await both(['data', 'log', path, '--type', 'dta'])).text.exitCode, 2)
  rmSync(join(path, 'log'), { recursive: true })
  symlinkSync(join(path, 'log'), join(path, 'log'))
  for (const command of ['inspect', 'verify', 'log']) {
    const refused = await both(['data', command, path])
    assert.equal([refused.text.exitCode, refused.document.error.code], [6, 'E_DATA_DIR'])
  }
})

test('a document that was broken on purpose does not pass its schema', async () => {
  const path = directories.raftctl()
  for (const command of ['inspect', 'verify', 'log']) {
    const { document } = await both(['data', command, path])
    const { directory, ...rest } = document.data
    const broken: Document[] = [
      { ...document, data: { ...document.data, pid: 'none' } },
      { ...document, data: rest },
    ]
    for (const one of broken) assert.ok(problemsOf(one).length > 0, `${command} ${directory}`)
  }
})

test.run()
