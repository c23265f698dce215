import { example } from '../../generated/atomic.js'
import { Status } from '../../raft/errors.js'
import { toBigInt, toInt64 } from '../../rpc/int64.js'
import { type FieldShape, optional, required } from '../../rpc/json-message.js'
import { type Reply, type RpcService, rpcMethod } from '../../rpc/service.js'
import { type Answer, type Serving, STARTING } from '../serving.js'
import { type Command, encodeCommand } from './commands.js'
import type { AtomicMachine } from './state-machine.js'

const INT64 = required('int64')
const ANSWER = {
  success: required('bool'),
  id: optional('int64'),
  new_value: optional('int64'),
  old_value: optional('int64'),
  redirect: optional('string'),
} as const

/** example.AtomicService of braft; `serving` is null while the group is not open. */
export function atomicService(serving: () => Serving<AtomicMachine> | null): RpcService {
  const write = (operation: Command['operation'], request: Uint8Array, done: Reply<example.AtomicResponse.$Properties>) => {
    const group = serving()
    if (group) group.write<Answer>(encodeCommand(operation, request), done)
    else done(Status.OK, STARTING)
  }
  const json = (request: Readonly<Record<string, FieldShape>>) => ({ request, response: ANSWER })
  const methods = {
    get: rpcMethod({
      request: example.GetRequest,
      response: example.AtomicResponse,
      json: json({ id: INT64 }),
      handle: ({ id }, _context, done) => {
        const group = serving()
        if (!group) return done(Status.OK, STARTING)
        group.read(() => {
          const value = toInt64(group.machine.get(toBigInt(id)))
          return { answer: { success: true, id, old_value: value, new_value: value } }
        }, done)
      },
    }),
    exchange: rpcMethod({
      request: example.ExchangeRequest,
      response: example.AtomicResponse,
      json: json({ id: INT64, value: INT64 }),
      handle: (request, _context, done) => write('exchange', example.ExchangeRequest.encode(request).finish(), done),
    }),
    compare_exchange: rpcMethod({
      request: example.CompareExchangeRequest,
      response: example.AtomicResponse,
      json: json({ id: INT64, expected_value: INT64, new_value: INT64 }),
      handle: (request, _context, done) => write('compare_exchange', example.CompareExchangeRequest.encode(request).finish(), done),
    }),
  }
  return { name: 'example.AtomicService', methods }
}
