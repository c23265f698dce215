import { EventEmitter, once } from 'node:events'
import * as grpc from '@grpc/grpc-js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { raftctl } from '../../../src/generated/kv.js'
import { SessionKey } from '../../../src/machines/kv/grpc-service.js'
import { Pipeline, pipelineHandlers } from '../../../src/machines/kv/pipeline-service.js'
import { KvService } from '../../../src/machines/kv/service.js'
import { fromInt64 } from '../../../src/raft/types.js'
import { ServiceClient } from '../../../src/rpc/grpc.js'
import type { CallFailure, DuplexCall } from '../../../src/rpc/grpc-call.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { ManualExecutor } from '../../support/fake-environment.js'
import { FakeClock, FakeLeaderCalls, FakeNode, newMachine } from './fakes.js'

const test = suite('key-value pipeline')
const IN_FLIGHT_MAX = 8192
const b = (text: string) => Buffer.from(text)
type Call = raftctl.kv.PipelineCall.$Properties
type Response = raftctl.kv.PipelineResponse.$Properties
type Request = raftctl.kv.PipelineRequest.$Properties

const closers: (() => unknown)[] = []
test.after.each(async () => {
  for (const close of closers.splice(0)) await close()
})

/** A stream whose client is the test. */
class FakeStream extends EventEmitter {
  readonly written: Response[] = []
  readonly states: string[] = []
  failure: CallFailure | null = null
  /** What `write` says. */
  hasRoom = true
  cancelled = false
  readonly deadline = Number.POSITIVE_INFINITY
  readonly peerAddress = 'test'
  readonly host = 'test'

  constructor(private readonly metadata: Readonly<Record<string, string>> = {}) {
    super()
  }

  field(name: string): string | undefined {
    return this.metadata[name]
  }

  fields(): ReadonlyMap<string, string> {
    return new Map(Object.entries(this.metadata))
  }

  sendHeaders(): void {}

  write(message: Response): boolean {
    this.written.push(message)
    return this.hasRoom
  }

  pause(): void {
    this.note('paused')
  }

  resume(): void {
    this.note('reads')
  }

  end(): void {
    this.note('ended')
  }

  fail(failure: CallFailure): void {
    this.failure = failure
  }

  send(calls: Call[], acknowledged_through = 0): void {
    this.emit('data', { calls, acknowledged_through })
  }

  get answers() {
    return this.written.flatMap(({ answers }) => answers ?? [])
  }

  private note(state: string): void {
    if (this.states.at(-1) !== state) this.states.push(state)
  }
}

function open(metadata: Readonly<Record<string, string>> = {}) {
  const machine = newMachine()
  const node = new FakeNode(machine)
  node.lead()
  const executor = new ManualExecutor()
  const options = { node, machine, clock: new FakeClock(), wallClockMs: () => 0, leaderCalls: new FakeLeaderCalls(), clusterId: () => null }
  const service = new KvService(options)
  const stream = new FakeStream(metadata)
  const { Run } = pipelineHandlers({ serviceOf: (group) => (group === 'kv' ? service : null), executor })
  Run!(stream as unknown as DuplexCall<raftctl.kv.PipelineRequest, Response>)
  return { stream, node, executor, machine, service }
}

const put = (id: number, key: string, value = 'v', rest: Call = {}): Call => ({ id, put: { key: b(key), value: b(value) }, ...rest })

test('each call is answered by its id and in its kind; what one turn brings leaves in one message', () => {
  const { stream, executor } = open()
  stream.send([put(7, 'a', '1'), put(8, 'b', '2'), { id: 9, delete_range: { key: b('b') } }])
  assert.is(stream.written.length, 0, 'it waits for the end of the turn')
  executor.run()
  assert.is(stream.written.length, 1)
  assert.equal(
    stream.answers.map(({ id, put: one, delete_range }) => [id, one ? 'put' : '', fromInt64(delete_range?.deleted as number)]),
    [
      [7, 'put', 0],
      [8, 'put', 0],
      [9, '', 1],
    ],
  )
  const holds = { key: b('a'), value: b('1'), target: 3, result: 0 }
  stream.send([
    put(0, 'c'),
    { id: 1, range: { key: b('a') } },
    { id: 2, txn: { compare: [holds], success: [{ request_put: { key: b('a'), value: b('3') } }] } },
  ])
  executor.run()
  const [, range, txn] = stream.answers.slice(3)
  assert.equal([range!.id, String(range!.range!.kvs![0]!.value)], [1, '1'])
  assert.equal([txn!.id, txn!.txn!.succeeded], [2, true])
  assert.is(stream.written.length, 4, 'what holds values leaves by itself')
})

test('a call that fails is told why, and hinders no other', () => {
  const { stream, executor } = open()
  stream.send([put(1, ''), { id: 2 }, put(3, 'a')])
  executor.run()
  const failures = stream.answers.map(({ id, failure }) => [id, failure?.status ?? 0, failure?.code ?? '', failure?.applied ?? ''])
  assert.equal(failures, [
    [1, grpc.status.INVALID_ARGUMENT, 'E_USAGE', 'no'],
    [2, grpc.status.INVALID_ARGUMENT, 'E_USAGE', 'no'],
    [3, 0, '', ''],
  ])
  assert.match(stream.answers[1]!.failure!.message!, 'asks for nothing')
  const elsewhere = open({ 'raftctl-group': 'none' }).stream
  assert.is(elsewhere.failure?.code, grpc.status.NOT_FOUND)
})

test('a client that names itself has each write applied once, however often it sends it', () => {
  const { stream, executor, machine } = open({ [SessionKey.clientId]: 'c' })
  stream.send([put(1, 'a', '1', { sequence: 1 })])
  stream.send([put(2, 'a', '1', { sequence: 1 }), { id: 3, range: { key: b('a') } }])
  executor.run()
  const [first, again, read] = stream.answers
  assert.equal(again!.put!.header!.revision, first!.put!.header!.revision)
  assert.is(fromInt64(read!.range!.kvs![0]!.version as number), 1)
  assert.is(machine.store.revision, 2)
  stream.send([put(4, 'a', '2')])
  executor.run()
  assert.match(stream.answers[3]!.failure!.message!, 'sequence')
})

test('a client with too many calls in flight is held until some are answered', () => {
  const { stream, node, executor } = open()
  node.applies = 'holds'
  stream.send(Array.from({ length: IN_FLIGHT_MAX - 1 }, (_, i) => put(i, `k${i}`)))
  assert.equal(stream.states, ['reads'])
  stream.send([put(IN_FLIGHT_MAX, 'last')])
  assert.equal(stream.states, ['reads', 'paused'])
  node.commit(node.tasks[0]!)
  executor.run()
  assert.equal(stream.states, ['reads', 'paused', 'reads'])
})

test('of a message with more calls than may be in flight the rest waits; a read counts for many', () => {
  const { stream, node, executor } = open()
  node.applies = 'holds'
  stream.send(Array.from({ length: 2 * IN_FLIGHT_MAX }, (_, i) => put(i, `k${i}`)))
  assert.equal([node.tasks.length, stream.states.at(-1)], [IN_FLIGHT_MAX, 'paused'])
  for (let i = 0; i < 5; i++) node.commit(node.tasks[i]!)
  executor.run()
  assert.is(node.tasks.length, IN_FLIGHT_MAX + 5)
  const reading = open()
  reading.node.reads = 'holds'
  reading.stream.send(Array.from({ length: 300 }, (_, id) => ({ id, range: { key: b('a') } })))
  assert.equal([reading.node.heldReads.length, reading.stream.states.at(-1)], [IN_FLIGHT_MAX / 32, 'paused'])
})

test('nothing that waits is begun for a client that does not read, or has gone', () => {
  const { stream, node, executor } = open()
  stream.hasRoom = false
  stream.send([put(1, 'a'), { id: 2, range: { key: b('a') } }])
  executor.run()
  const { length } = node.tasks
  stream.send([put(3, 'b')])
  assert.is(node.tasks.length, length)
  stream.emit('close')
  stream.emit('drain')
  assert.is(node.tasks.length, length)
})

test('a stream ends when its group stops here: what was in flight is answered first', () => {
  const { stream, node, service } = open()
  node.applies = 'holds'
  stream.send([put(1, 'a')])
  service.close()
  assert.is(stream.answers.length, 1)
  assert.is(stream.answers[0]!.failure!.applied, 'unknown')
  assert.is(stream.failure?.code, grpc.status.UNAVAILABLE)
})

test('a client that does not read its answers is held until it does', () => {
  const { stream, executor } = open()
  stream.hasRoom = false
  stream.send([put(1, 'a')])
  executor.run()
  assert.is(stream.states.at(-1), 'paused')
  stream.send([put(2, 'b')])
  executor.run()
  assert.is(stream.states.at(-1), 'paused')
  stream.hasRoom = true
  stream.emit('drain')
  assert.is(stream.states.at(-1), 'reads')
})

test('a client that sends no more gets the answers that are due, then the end', () => {
  const { stream, node, executor } = open()
  node.applies = 'holds'
  stream.send([put(1, 'a')])
  stream.emit('end')
  executor.run()
  assert.is(stream.states.includes('ended'), false)
  node.commit(node.tasks[0]!)
  assert.is(stream.states.includes('ended'), false, 'the answer has not left')
  executor.run()
  assert.is(stream.states.at(-1), 'ended')
  assert.is(stream.answers.length, 1)
})

test('over the wire, by a client of gRPC', async () => {
  const machine = newMachine()
  const node = new FakeNode(machine)
  node.lead()
  const clock = new FakeClock()
  const service = new KvService({ node, machine, clock, wallClockMs: () => 0, leaderCalls: new FakeLeaderCalls(), clusterId: () => null })
  const server = new RpcServer()
  const executor = { post: (fn: () => void) => void setImmediate(fn) }
  server.addGrpcService(Pipeline, pipelineHandlers({ serviceOf: () => service, executor }))
  const { port } = await server.listen()
  const channel = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
  closers.push(
    () => channel.close(),
    () => server.close({ deadlineMs: 0 }),
  )
  const call = new ServiceClient(Pipeline, channel).bidiStream('Run')
  const ids: number[] = []
  const ended = once(call, 'end')
  call.on('data', ({ answers }: Response) => ids.push(...(answers ?? []).map(({ id }) => id ?? 0)))
  const many = (from: number): Request => ({ calls: Array.from({ length: 100 }, (_, i) => put(from + i, `k${from + i}`)) })
  for (let from = 1; from < 1000; from += 100) call.write(many(from))
  call.end()
  await ended
  assert.equal(
    ids.sort((x, y) => x - y),
    Array.from({ length: 1000 }, (_, i) => i + 1),
  )
  assert.is(machine.store.revision, 1001)
})

test.run()
