// braft's example services as callers meet them, on every protocol of the port.
import * as grpc from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { example as atomicExample } from '../../../src/generated/atomic.js'
import { example as blockExample } from '../../../src/generated/block.js'
import { example } from '../../../src/generated/braft.js'
import { atomicService } from '../../../src/machines/atomic/service.js'
import { AtomicMachine } from '../../../src/machines/atomic/state-machine.js'
import { blockService } from '../../../src/machines/block/service.js'
import { BlockMachine } from '../../../src/machines/block/state-machine.js'
import { counterService } from '../../../src/machines/counter/service.js'
import { CounterMachine } from '../../../src/machines/counter/state-machine.js'
import type { ComparableMachine } from '../../../src/machines/machine.js'
import { AnswerClosure, Serving } from '../../../src/machines/serving.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { Task } from '../../../src/raft/raft.js'
import { Channels } from '../../../src/rpc/channel.js'
import { defineService, ServiceClient, unary } from '../../../src/rpc/grpc.js'
import { RpcServer } from '../../../src/rpc/server.js'
import type { RpcService } from '../../../src/rpc/service.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { MachineBench, OneNode } from './bench.js'

const closers: (() => unknown)[] = []
test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function serve<M extends ComparableMachine>(
  Machine: ConstructorParameters<typeof MachineBench<M>>[0],
  service: (serving: () => Serving<M> | null) => RpcService,
) {
  const bench = new MachineBench(Machine)
  const commit = (task: Task) => {
    const [answer] = bench.apply<object>(task.data)
    if (task.done instanceof AnswerClosure) task.done.answer = answer
    task.done?.run(Status.OK)
  }
  const node = new OneNode(commit)
  const serving = new Serving({
    machine: bench.machine,
    node,
    clock: { now: () => 42, schedule: () => ({ cancel: () => {} }) },
    executor: new EventLoopExecutor(),
  })
  const state = { open: true }
  const server = new RpcServer()
  server.addService(service(() => (state.open ? serving : null)))
  const { port } = await server.listen()
  const address = `127.0.0.1:${port}`
  const channels = new Channels()
  closers.push(
    () => server.close({ deadlineMs: 50 }),
    () => channels.close(),
  )
  return {
    ...{ node, serving, state, address, machine: bench.machine },
    channel: channels.grpc(address),
    post: async (method: string, body: object) => {
      const response = await fetch(`http://${address}/${method}`, { method: 'POST', body: JSON.stringify(body) })
      return { status: response.status, code: response.headers.get('x-bd-error-code'), text: await response.text() }
    },
    baiduStd: <T>(service: string, method: string, message: Uint8Array, decode: (bytes: Buffer) => T, attachment?: Buffer) =>
      new Promise<{ status: Status; response: T | null; attachment: Buffer }>((resolve) =>
        channels
          .baiduStd(address)
          .call(
            { service, method, message: Buffer.from(message), timeoutMs: 2000, ...(attachment ? { attachment } : {}) },
            (status, response) =>
              resolve({
                status,
                response: response ? decode(response.message) : null,
                attachment: response?.attachment ?? Buffer.alloc(0),
              }),
          ),
      ),
  }
}

const counter = () => serve(CounterMachine, counterService)
const ADD = (value: number) => example.FetchAddRequest.encode({ value }).finish()
const decodeCounter = (bytes: Buffer) => {
  const { success, value, redirect } = example.CounterResponse.decode(bytes)
  return { success, value: value == null ? null : Number(value), redirect }
}

test('the counter is added to by every protocol, and each is told what it was before', async () => {
  const { node, channel, post, baiduStd, serving } = await counter()
  assert.is(serving.lastAcknowledgedAt, null)
  const first = await baiduStd('example.CounterService', 'fetch_add', ADD(5), decodeCounter)
  assert.equal(first.response, { success: true, value: 0, redirect: null })
  const definition = defineService('example.CounterService', { fetch_add: unary(example.FetchAddRequest, example.CounterResponse) })
  const second = await new ServiceClient(definition, channel).call('fetch_add', { value: 3 })
  assert.is(Number(second.value), 5)
  assert.is((await post('CounterService/fetch_add', { value: 4 })).text, '{"success":true,"value":8}')
  assert.is((await post('example.CounterService/get', {})).text, '{"success":true,"value":12}')
  assert.equal(
    node.tasks.map(({ data }) => Buffer.from(data).toString('hex')),
    ['0805', '0803', '0804'],
    "braft's bytes in the log",
  )
  assert.is(serving.lastAcknowledgedAt, 42)
})

test('whoever does not lead says who does, and writes nothing', async () => {
  const { node, post, baiduStd } = await counter()
  node.leads = false
  const redirected = '{"success":false,"redirect":"127.0.0.1:8100:0:0"}'
  assert.is((await post('CounterService/fetch_add', { value: 1 })).text, redirected)
  assert.is((await post('CounterService/get', {})).text, redirected)
  node.leader = PeerId.EMPTY
  assert.is((await post('CounterService/fetch_add', { value: 1 })).text, '{"success":false}')
  assert.equal((await baiduStd('CounterService', 'get', Buffer.alloc(0), decodeCounter)).response, {
    success: false,
    value: null,
    redirect: null,
  })
  assert.is(node.tasks.length, 0)
})

test('a leader that is refused its own log redirects only when it does not lead any more', async () => {
  const { node, post } = await counter()
  node.refuses = Status.error(ErrorCode.EBUSY, 'many tasks are waiting')
  assert.is((await post('CounterService/fetch_add', { value: 1 })).code, String(ErrorCode.EBUSY))
  const stepDown = { apply: node.apply }
  node.apply = (task) => {
    node.leads = false
    stepDown.apply.call(node, task)
  }
  assert.is((await post('CounterService/fetch_add', { value: 1 })).text, '{"success":false,"redirect":"127.0.0.1:8100:0:0"}')
})

test('a write whose outcome is unknown fails: a redirect would have it tried again', async () => {
  const { node, post, baiduStd } = await counter()
  node.refuses = Status.error(ErrorCode.EOUTCOMEUNKNOWN, 'leadership was lost')
  node.leads = true
  const { status, code, text } = await post('CounterService/fetch_add', { value: 1 })
  assert.is(status, 500)
  assert.is(code, String(ErrorCode.EOUTCOMEUNKNOWN))
  assert.match(text, 'leadership was lost')
  assert.is((await baiduStd('example.CounterService', 'fetch_add', ADD(1), decodeCounter)).status.code, ErrorCode.EOUTCOMEUNKNOWN)
})

test('a read that the leader cannot confirm is not answered from its state', async () => {
  const { node, post } = await counter()
  node.reads = Status.error(ErrorCode.ETIMEDOUT, 'no quorum answered')
  const { status, text } = await post('CounterService/get', {})
  assert.is(status, 504)
  assert.match(text, 'no quorum answered')
})

test('a member that is starting sends callers away', async () => {
  const { state, post } = await counter()
  state.open = false
  assert.is((await post('CounterService/fetch_add', { value: 1 })).text, '{"success":false}')
  assert.is((await post('CounterService/get', {})).text, '{"success":false}')
})

test('a number that JSON cannot hold travels as text, both ways', async () => {
  const { post, machine } = await counter()
  assert.is((await post('CounterService/fetch_add', { value: '9007199254740993' })).text, '{"success":true,"value":0}')
  assert.is(machine.value, 9007199254740993n)
  assert.is((await post('CounterService/get', {})).text, '{"success":true,"value":"9007199254740993"}')
  assert.is((await post('CounterService/fetch_add', { value: '12.5' })).code, '1003')
  assert.is((await post('CounterService/fetch_add', { value: '9223372036854775808' })).code, '1003')
})

test('atomic exchanges, compares and reads; only writes enter the log', async () => {
  const { node, post, baiduStd } = await serve(AtomicMachine, atomicService)
  assert.is((await post('AtomicService/exchange', { id: 1, value: 7 })).text, '{"success":true,"id":1,"new_value":7,"old_value":0}')
  const swap = { id: 1, expected_value: 7, new_value: 8 }
  assert.is((await post('AtomicService/compare_exchange', swap)).text, '{"success":true,"id":1,"new_value":8,"old_value":7}')
  assert.is((await post('AtomicService/compare_exchange', swap)).text, '{"success":false,"id":1,"new_value":8,"old_value":8}')
  const get = atomicExample.GetRequest.encode({ id: 1 }).finish()
  const { response } = await baiduStd('example.AtomicService', 'get', get, (bytes) => atomicExample.AtomicResponse.decode(bytes))
  assert.equal([response!.success, Number(response!.old_value), Number(response!.new_value)], [true, 8, 8])
  assert.is(node.tasks.length, 3)
  node.leads = false
  assert.is((await post('AtomicService/get', { id: 1 })).text, '{"success":false,"redirect":"127.0.0.1:8100:0:0"}')
})

test('block carries its bytes in the attachment, and says so where there is none', async () => {
  const { baiduStd, post, channel, node } = await serve(BlockMachine, blockService)
  const request = (offset: number, size?: number) =>
    blockExample.BlockRequest.encode(size === undefined ? { offset } : { offset, size }).finish()
  const decode = (bytes: Buffer) => blockExample.BlockResponse.decode(bytes).success
  const name = 'example.BlockService'
  assert.is((await baiduStd(name, 'write', request(4090), decode, Buffer.from('0123456789'))).response, true)
  const { response, attachment } = await baiduStd(name, 'read', request(4092, 12), decode)
  assert.is(response, true)
  assert.equal(attachment, Buffer.from('23456789\0\0\0\0'))
  assert.is((await baiduStd(name, 'read', request(-1, 12), decode)).status.code, ErrorCode.EINVAL)
  assert.is((await baiduStd(name, 'read', request(0, 64 * 2 ** 20), decode)).status.code, ErrorCode.EINVAL)
  assert.is((await baiduStd(name, 'write', request(2 ** 45), decode, Buffer.from('x'))).status.code, ErrorCode.EINVAL)
  assert.match((await post('BlockService/read', { offset: 0, size: 4 })).text, /only baidu_std/)
  const definition = defineService(name, { write: unary(blockExample.BlockRequest, blockExample.BlockResponse) })
  const refused = await new ServiceClient(definition, channel).call('write', { offset: 0 }).then(
    () => null,
    (error: grpc.ServiceError) => error.code,
  )
  assert.is(refused, grpc.status.INVALID_ARGUMENT)
  assert.is(node.tasks.length, 1)
})

test.run()
