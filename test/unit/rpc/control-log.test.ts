import http2 from 'node:http2'
import * as grpc from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { raftctl } from '../../../src/generated/raftctl.js'
import { ConfigurationEntry, encodeConfiguration } from '../../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { RaftEvent } from '../../../src/raft/events.js'
import { EntryBatch, EntryType, type NewEntry } from '../../../src/raft/log-entry.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { Control } from '../../../src/rpc/control-definition.js'
import type { ControlHost, ControlledNode } from '../../../src/rpc/control-host.js'
import { logHandlers } from '../../../src/rpc/control-log.js'
import { readErrorDetail } from '../../../src/rpc/error-detail.js'
import { EventLog } from '../../../src/rpc/event-log.js'
import { ServiceClient } from '../../../src/rpc/grpc.js'
import { NodeManager } from '../../../src/rpc/node-manager.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { checksum } from '../../../src/storage/checksum.js'
import { data, members, peer } from '../../support/entries.js'

const closers: (() => unknown)[] = []
test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

type Record = raftctl.v1.LogRecord
const P1 = peer(7001)

/** A node whose log is what the test says. */
class FakeLog {
  readonly groupId = 'kv'
  readonly peerId = P1
  first = 1
  committed = 0
  state = 'LEADER'
  failure: Status | null = null
  reads = 0
  /** Reads wait here while it is set. */
  held: (() => void)[] | null = null
  private readonly entries: { readonly term: number; readonly entry: NewEntry }[] = []

  constructor(readonly events: EventLog) {}

  get last(): number {
    return this.first + this.entries.length - 1
  }

  append(term: number, ...texts: (string | NewEntry)[]): this {
    for (const text of texts) this.entries.push({ term, entry: typeof text === 'string' ? data(text) : text })
    this.tell({ name: 'log.durable', index: logIndex(this.last) })
    return this
  }

  commit(index: number): this {
    this.committed = index
    this.tell({ name: 'commit.advanced', index: logIndex(index) })
    return this
  }

  cutEnd(lastKept: number): this {
    this.entries.length = lastKept - this.first + 1
    this.tell({ name: 'log.truncated', lastKept: logIndex(lastKept) })
    return this
  }

  cutStart(first: number): void {
    this.entries.splice(0, first - this.first)
    this.first = first
  }

  tell(event: object): void {
    this.events.add({ groupId: 'kv', peerId: P1, ...event } as RaftEvent)
  }

  status() {
    const lastTerm = asTerm(this.entries.at(-1)?.term ?? 0)
    return {
      ...{
        groupId: 'kv',
        peerId: P1,
        state: this.state,
        firstIndex: logIndex(this.first),
        lastId: { index: logIndex(this.last), term: lastTerm },
      },
      ...{ committedIndex: logIndex(this.committed), appliedIndex: logIndex(Math.max(0, this.committed - 1)) },
      ...{ snapshotId: { index: logIndex(0), term: asTerm(0) }, error: this.failure && { status: this.failure } },
    }
  }

  readLog(from: number, last: number, maxBytes: number, done: (status: Status, batch?: EntryBatch) => void): void {
    this.reads++
    const wanted = this.entries.slice(from - this.first, last - this.first + 1).slice(0, 20)
    const answer = () => {
      if (from < this.first) return done(Status.error(ErrorCode.ELOGDELETED, 'cut'))
      if (wanted.length === 0) return done(Status.error(ErrorCode.ERANGE, 'not there'))
      const batches = wanted.map(({ term, entry }, at) => EntryBatch.encode(logIndex(from + at), asTerm(term), [entry], checksum))
      const batch = EntryBatch.concat(batches)
      done(Status.OK, batch.slice(batch.firstIndex, batch.lastWithin(batch.firstIndex, maxBytes)))
    }
    if (this.held) this.held.push(answer)
    else setImmediate(answer)
  }
}

async function serve() {
  const events = new EventLog()
  const log = new FakeLog(events)
  const nodes = new NodeManager<ControlledNode>()
  nodes.add(log as unknown as ControlledNode)
  const host = {
    nodes,
    events,
    executor: new EventLoopExecutor(),
    identity: { peerId: P1 },
    nameOf: (one: typeof P1) => `n${one.port - 7000}`,
    describeCommand: (_group: string, bytes: Buffer) =>
      bytes[0] === '?'.charCodeAt(0) ? null : { operation: 'say', summary: bytes.toString(), timeMs: 1000 },
    logSegments: async () => 3,
  } as unknown as ControlHost
  const server = new RpcServer()
  server.addGrpcService(Control, logHandlers(host))
  const { port } = await server.listen()
  const channel = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
  closers.push(
    () => server.close({ deadlineMs: 0 }),
    () => channel.close(),
  )
  return { client: new ServiceClient(Control, channel), log, port }
}

type Client = Awaited<ReturnType<typeof serve>>['client']
type Request = raftctl.v1.ReadLogRequest.$Properties

async function read(client: Client, request: Request): Promise<Record[]> {
  const records: Record[] = []
  for await (const record of client.serverStream('ReadLog', request)) records.push(record as Record)
  return records
}

const brief = ({ index, term, summary, committed }: Record) => `${index}:${term}:${summary}${committed ? '' : '?'}`

/** Reads a stream that follows, record by record. */
function follow(client: Client, request: Request) {
  const call = client.serverStream('ReadLog', { ...request, follow: true })
  const rows = call[Symbol.asyncIterator]() as AsyncIterator<Record>
  closers.push(() => {
    call.on('error', () => {})
    call.cancel()
  })
  const take = async (count: number) => {
    const taken: string[] = []
    while (taken.length < count) {
      const { value, done } = await rows.next()
      if (done) break
      taken.push(brief(value))
    }
    return taken
  }
  return { take, call }
}

async function refusal(work: Promise<unknown>) {
  const error = await work.then(
    () => null,
    (thrown: grpc.ServiceError) => thrown,
  )
  assert.ok(error, 'it was answered')
  return { code: error.code, name: readErrorDetail(error)?.code, text: error.details }
}

test('a range, the newest, a type: with what is committed and applied, and what each entry says', async () => {
  const { client, log } = await serve()
  const three = new ConfigurationEntry({ index: logIndex(1), term: asTerm(1) }, members(7001, 7002), members(7001), [peer(7003)])
  const configuration = { type: EntryType.CONFIGURATION, data: encodeConfiguration(three) }
  log
    .append(1, configuration, 'a', '?b')
    .append(2, { type: EntryType.NO_OP, data: Buffer.alloc(0) }, 'c')
    .commit(4)
  assert.equal((await read(client, {})).map(brief), ['1:1:voters n1 n2 +learner n3 (joint, from n1)', '2:1:a', '3:1:', '4:2:', '5:2:c?'])
  const [, said, unknown, nothing] = await read(client, {})
  assert.equal([said!.operation, said!.type, Number(said!.time_ms), said!.bytes, said!.applied], ['say', 'data', 1000, 1, true])
  assert.equal([unknown!.operation, unknown!.type, unknown!.time_ms], ['', 'data', null])
  assert.equal([nothing!.operation, nothing!.type, nothing!.committed, nothing!.applied], ['no-op', 'no_op', true, false])
  assert.equal((await read(client, { from: 2, to: 3 })).map(brief), ['2:1:a', '3:1:'])
  assert.equal((await read(client, { last: 2 })).map(brief), ['4:2:', '5:2:c?'])
  assert.equal((await read(client, { last: 2, committed_only: true })).map(brief), ['3:1:', '4:2:'])
  assert.equal(
    (await read(client, { types: ['configuration', 'no_op'] })).map(({ index }) => Number(index)),
    [1, 4],
  )
  assert.is((await read(client, { from: 2, to: 2 }))[0]!.data.length, 0)
  assert.is(Buffer.from((await read(client, { from: 2, to: 2, with_data: true }))[0]!.data).toString(), 'a')
})

test('what was cut off is refused with what is there; what is not there yet is nothing', async () => {
  const { client, log } = await serve()
  log.append(1, 'a', 'b', 'c', 'd').commit(4)
  log.cutStart(3)
  const cut = await refusal(read(client, { from: 1 }))
  assert.equal([cut.code, cut.name], [grpc.status.OUT_OF_RANGE, 'E_COMPACTED'])
  assert.match(cut.text, 'holds 3 to 4')
  assert.equal((await read(client, {})).map(brief), ['3:1:c', '4:1:d'])
  assert.equal(await read(client, { from: 9 }), [])
  assert.is((await refusal(read(client, { types: ['put'] }))).name, 'E_USAGE')
  assert.is((await refusal(read(client, { group: 'other' }))).name, 'E_NO_GROUP')
})

test('following goes on with what is committed, in order and once, whatever happens behind the commit', async () => {
  const { client, log } = await serve()
  log.append(1, 'a', 'b').commit(1)
  const { take } = follow(client, { from: 1, committed_only: true })
  assert.equal(await take(1), ['1:1:a'])
  log.append(1, 'c').commit(2)
  assert.equal(await take(1), ['2:1:b'])
  log.cutEnd(2).append(2, 'other c', 'd').commit(4)
  assert.equal(await take(2), ['3:2:other c', '4:2:d'])
})

test('following without a start is what comes after now', async () => {
  const { client, log } = await serve()
  log.append(1, 'a', 'b').commit(2)
  const { take, call } = follow(client, { committed_only: true })
  await new Promise((resolve) => call.once('metadata', resolve))
  log.append(1, 'c').commit(3)
  assert.equal(await take(1), ['3:1:c'])
})

test('following what is not committed yet tells a replaced entry again, in its new term', async () => {
  const { client, log } = await serve()
  log.append(1, 'a', 'b', 'c').commit(1)
  const { take } = follow(client, { from: 1 })
  assert.equal(await take(3), ['1:1:a', '2:1:b?', '3:1:c?'])
  log.cutEnd(1).append(2, 'x').commit(2)
  assert.equal(await take(1), ['2:2:x'])
  log.append(2, 'y')
  assert.equal(await take(1), ['3:2:y?'])
})

test('a batch that was read before the end of the log was replaced is not sent', async () => {
  const { client, log } = await serve()
  log.append(1, 'a').commit(1)
  const { take } = follow(client, { from: 1 })
  assert.equal(await take(1), ['1:1:a'])
  log.held = []
  log.append(1, 'b', 'c')
  while (log.held.length === 0) await new Promise((resolve) => setImmediate(resolve))
  const [late] = log.held
  log.held = null
  log.cutEnd(1).append(2, 'x')
  late!()
  assert.equal(await take(1), ['2:2:x?'])
})

test('a reader that takes nothing holds up one batch and what the connection takes, not the log in memory', async () => {
  const { port, log } = await serve()
  for (let i = 0; i < 300; i++) log.append(1, 'x'.repeat(100_000))
  log.commit(300)
  const session = http2.connect(`http://127.0.0.1:${port}`)
  closers.push(() => session.destroy())
  const stream = session.request({
    ...{ ':method': 'POST', ':path': '/raftctl.v1.Control/ReadLog', 'content-type': 'application/grpc', te: 'trailers' },
  })
  const request = raftctl.v1.ReadLogRequest.encode({ from: 1, with_data: true }).finish()
  const head = Buffer.alloc(5)
  head.writeUInt32BE(request.length, 1)
  stream.end(Buffer.concat([head, request]))
  stream.pause()
  await new Promise((resolve) => stream.once('response', resolve))
  let before = -1
  while (log.reads !== before) {
    before = log.reads
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  assert.ok(log.reads > 0 && log.reads < 20, `${log.reads} reads were made for nobody`)
  let bytes = 0
  for await (const chunk of stream) bytes += chunk.length
  assert.ok(bytes > 300 * 100_000)
  assert.ok(log.reads >= 150)
})

test('a stream ends with its node: stopping, failed, or its start cut off', async () => {
  const { client, log } = await serve()
  log.append(1, 'a', 'b').commit(2)
  const stopping = refusal(read(client, { from: 1, follow: true }))
  const failing = refusal(read(client, { from: 1, follow: true }))
  const { take } = follow(client, { from: 2, committed_only: true })
  assert.equal(await take(1), ['2:1:b'])
  log.tell({ name: 'state.changed', from: 'LEADER', to: 'SHUTTING', term: asTerm(1), reason: Status.OK })
  assert.equal(await stopping, { code: grpc.status.UNAVAILABLE, name: 'E_UNREACHABLE', text: '127.0.0.1:7001 is stopping' })
  assert.is((await failing).name, 'E_UNREACHABLE')
  log.state = 'ERROR'
  log.failure = Status.error(ErrorCode.ECORRUPT, 'log_1 is damaged')
  assert.equal(await refusal(read(client, { from: 1, follow: true })), {
    code: grpc.status.DATA_LOSS,
    name: 'E_CORRUPT',
    text: 'log_1 is damaged',
  })
})

test('statistics count every entry once, and keep the ten largest', async () => {
  const { client, log } = await serve()
  for (let i = 1; i <= 30; i++) log.append(1, 'x'.repeat(i * 10))
  log.append(1, { type: EntryType.NO_OP, data: Buffer.alloc(0) }).commit(31)
  const stats = await client.call('LogStats', { group: 'kv' })
  assert.equal([Number(stats.entries), Number(stats.first_index), Number(stats.last_index), stats.segments], [31, 1, 31, 3])
  assert.equal(
    stats.largest.map(({ index }) => Number(index)),
    [30, 29, 28, 27, 26, 25, 24, 23, 22, 21],
  )
  const plain = Object.fromEntries(Object.entries(stats.entries_by_type).map(([type, count]) => [type, Number(count)]))
  assert.equal(plain, { data: 30, no_op: 1 })
  assert.is(
    Number(stats.bytes),
    Object.values(stats.bytes_by_type).reduce<number>((sum, bytes) => sum + Number(bytes), 0),
  )
  assert.is(Number(stats.bytes), 31 * 24 + 10 * ((30 * 31) / 2))
})

test.run()
