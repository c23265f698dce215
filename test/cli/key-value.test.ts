import { status } from '@grpc/grpc-js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromInt64 } from '../../src/raft/types.js'
import { toGrpcError } from '../../src/rpc/error-detail.js'
import { saveInto } from '../support/contexts.js'
import { type FakeNode, fakeCluster, type KvHandlers } from '../support/fake-control.js'
import { CliHome, type CliRun } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('key-value')
const home = new CliHome('warm')
let nodes: FakeNode[] = []

/** What the fake does with writes. */
let writes: 'accept' | 'no-leader' | 'no-leader-late' | 'silence' = 'accept'
let refusals = 0
/** A member that waited for a leader answers shortly before the deadline. */
const LATE_MS = 1_300
const store = new Map<string, Buffer>()
const header = { revision: 42 }
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

function item(key: string) {
  const value = store.get(key)
  return value ? [{ key: Buffer.from(key), value, create_revision: 3, mod_revision: 41, version: 2, lease: 0 }] : []
}

function written<T>(done: (error: ReturnType<typeof toGrpcError> | null, response?: T) => void, response: () => T): void {
  if (writes === 'silence') return
  if (writes === 'accept') return done(null, response())
  if (writes === 'no-leader-late' && refusals++ > 0) return
  const refuse = () => done(toGrpcError(status.UNAVAILABLE, { code: 'E_NO_LEADER', retryable: true, applied: 'no' }, 'no leader is known'))
  if (writes === 'no-leader') refuse()
  else setTimeout(refuse, LATE_MS)
}

const kv: KvHandlers = {
  Range: (call, done) => {
    const { key, range_end } = call.request
    const keys = range_end.length > 0 ? [...store.keys()].filter((one) => Buffer.compare(Buffer.from(one), key) >= 0).sort() : [text(key)]
    const kvs = keys.flatMap(item)
    const shown = kvs.slice(0, fromInt64(call.request.limit) || kvs.length)
    done(null, { header, kvs: shown, count: kvs.length, more: shown.length < kvs.length })
  },
  Put: (call, done) =>
    written(done, () => {
      const [prev_kv] = item(text(call.request.key))
      store.set(text(call.request.key), Buffer.from(call.request.value))
      return { header, ...(prev_kv ? { prev_kv } : {}) }
    }),
  DeleteRange: (call, done) =>
    written(done, () => {
      const deleted = call.request.range_end.length > 0 ? store.size : Number(store.delete(text(call.request.key)))
      if (call.request.range_end.length > 0) store.clear()
      return { header, deleted }
    }),
  Txn: (call, done) =>
    written(done, () => {
      const [compare] = call.request.compare ?? []
      const key = Buffer.from(compare!.key!).toString()
      const expected = compare!.value ? Buffer.from(compare!.value).toString() : null
      const succeeded = expected === null ? !store.has(key) : store.get(key)?.toString() === expected
      if (succeeded) store.set(key, Buffer.from(call.request.success![0]!.request_put!.value!))
      return { header, succeeded, responses: [{ response_range: { kvs: item(key) } }] }
    }),
}

test.before(async () => {
  nodes = await fakeCluster({ kv })
})
test.before.each(() => {
  writes = 'accept'
  store.clear()
  store.set('hello', Buffer.from('world'))
  store.set('raw', Buffer.from([0xff, 0x00]))
})
test.after(() => {
  for (const node of nodes) node.close()
  home.remove()
})

const run = (args: string[], options: Parameters<CliHome['run']>[1] = {}) =>
  home.run([...args.slice(0, 2), '-e', nodes[0]!.address, ...args.slice(2)], options)

/** Runs it as text, then with --json on the same state; the exit codes have to agree and the document has to be valid. */
async function exitCode(
  args: string[],
  { env = {} }: { env?: Record<string, string> } = {},
): Promise<{ code: number; text: CliRun; document: Record<string, unknown> }> {
  const before = new Map(store)
  const text = await run(args, { env })
  store.clear()
  for (const [key, value] of before) store.set(key, value)
  const [topic, verb, ...rest] = args as [string, string, ...string[]]
  const json = await run([topic, verb, '--json', ...rest], { env })
  assert.is(json.exitCode, text.exitCode, json.stdout + text.stderr)
  const document = JSON.parse(json.stdout) as Record<string, unknown>
  assert.equal(problemsOf(document), [])
  return { code: text.exitCode, text, document }
}

test('get prints the value and nothing else, meta goes to stderr', async () => {
  const { code, text, document } = await exitCode(['kv', 'get', 'hello', '--meta'])
  assert.is(code, 0)
  assert.is(text.stdout, 'world')
  assert.match(text.stderr, 'modified 41')
  assert.equal(document.data, { key: 'hello', value: 'world', createRevision: 3, modRevision: 41, version: 2, revision: 42 })
})

test('bytes that are no text are base64 in the document and hex on request', async () => {
  const { document } = await exitCode(['kv', 'get', 'raw'])
  assert.equal((document.data as { value: unknown }).value, { base64: '/wA=' })
  assert.is((await run(['kv', 'get', 'raw', '--hex'])).stdout, 'ff00\n')
})

test('a missing key is exit 7', async () => {
  const { code, document } = await exitCode(['kv', 'get', 'missing'])
  assert.is(code, 7)
  assert.is((document.error as { code: string }).code, 'E_NO_KEY')
})

test('a value comes from the argument, after --, from stdin or from a file', async () => {
  assert.is((await run(['kv', 'put', 'hello', 'there'])).stdout, 'ok 42\n')
  assert.is(store.get('hello')?.toString(), 'there')
  assert.is((await run(['kv', 'put', '--', 'offset', '-41'])).exitCode, 0)
  assert.is(store.get('offset')?.toString(), '-41')
  assert.is((await run(['kv', 'put', 'from-stdin', '-'], { input: 'line\n' })).exitCode, 0)
  assert.is(store.get('from-stdin')?.toString(), 'line\n')
  assert.is((await run(['kv', 'put', 'hello'])).exitCode, 2)
  assert.is((await run(['kv', 'put', 'hello', '--file', '/does/not/exist'])).exitCode, 2)
  assert.match((await run(['kv', 'put', 'hello', 'again', '--prev'])).stdout, 'was there')
})

test('put --if-absent and cas exit 8 when the key is not as expected, and say what it is', async () => {
  const put = await exitCode(['kv', 'put', 'hello', 'x', '--if-absent'])
  assert.is(put.code, 8)
  assert.match(put.text.stderr, 'it is world (revision 41)')
  const cas = await exitCode(['kv', 'cas', 'hello', '--from', 'mars', '--to', 'x'])
  assert.is(cas.code, 8)
  assert.is(store.get('hello')?.toString(), 'world')
  const swapped = await exitCode(['kv', 'cas', 'hello', '--from', 'world', '--to', 'x'])
  assert.is(swapped.code, 0)
  assert.match(swapped.text.stdout, 'swapped world→x')
  assert.is((await exitCode(['kv', 'cas', 'hello', '--to', 'x'])).code, 2)
})

test('a write without a leader is exit 4', async () => {
  writes = 'no-leader'
  assert.is((await exitCode(['kv', 'put', 'hello', 'x', '--timeout', '400ms'])).code, 4)
})

test('a refusal shortly before the deadline stays a refusal: it is not asked again with no time to answer', async () => {
  writes = 'no-leader-late'
  refusals = 0
  assert.is((await run(['kv', 'put', 'hello', 'x', '--timeout', '1500ms'])).exitCode, 4)
  assert.is(refusals, 1)
})

test('a write without a verdict is exit 13 and says how to look', async () => {
  writes = 'silence'
  const { code, text } = await exitCode(['kv', 'put', 'hello', 'x', '--timeout', '400ms'])
  assert.is(code, 13)
  assert.match(text.stderr, 'raftctl kv get hello --meta')
})

test('deleting a prefix needs a yes: exit 12 names the flag, and nothing is deleted', async () => {
  const { code, text, document } = await exitCode(['kv', 'del', '', '--prefix'])
  assert.is(code, 12)
  assert.match(text.stderr, 'Delete ALL 2 keys')
  assert.match(text.stderr, '--yes')
  assert.is((document.error as { code: string }).code, 'E_NOT_CONFIRMED')
  assert.is(store.size, 2)
  assert.is((await run(['kv', 'del', '', '--prefix', '--yes'])).stdout, 'deleted 2\n')
})

test('list shows keys in order and where the next page begins', async () => {
  const { text, document } = await exitCode(['kv', 'list'])
  assert.match(text.stdout, /^hello +world +41 +2$/m)
  assert.match(text.stdout, /^raw +base64:\/wA= +41 +2$/m)
  assert.is((document.data as { items: unknown[] }).items.length, 2)
  assert.is((await run(['kv', 'list', '--keys-only', '--columns', 'key', '--no-headers'])).stdout, 'hello\nraw\n')
})

test('the command for the next page asks as the one before did', async () => {
  const { stderr } = await run(['kv', 'list', '--limit', '1', '--keys-only', '--read', 'stale'])
  assert.match(stderr, 'raftctl kv list --after hello --limit 1 --keys-only --read stale\n')
})

test('read-only mode refuses writes and not reads', async () => {
  const env = { RAFTCTL_READ_ONLY: '1' }
  assert.is((await exitCode(['kv', 'put', 'hello', 'x'], { env })).code, 6)
  assert.is((await exitCode(['kv', 'get', 'hello'], { env })).code, 0)
  saveInto(home, { name: 'careful', endpoints: [nodes[0]!.address], readOnly: true })
  assert.is((await home.run(['kv', 'del', 'hello', '-c', 'careful'])).exitCode, 6)
  assert.is(store.size, 2)
})

test.run()
