import { example } from '../../generated/braft.js'
import { Status } from '../../raft/errors.js'
import { toInt64 } from '../../rpc/int64.js'
import { optional, required } from '../../rpc/json-message.js'
import { type RpcService, rpcMethod } from '../../rpc/service.js'
import { type Serving, STARTING } from '../serving.js'
import type { CounterMachine } from './state-machine.js'

const ANSWER = { success: required('bool'), value: optional('int64'), redirect: optional('string') } as const

/** example.CounterService of braft; `serving` is null while the group is not open. */
export function counterService(serving: () => Serving<CounterMachine> | null): RpcService {
  const methods = {
    fetch_add: rpcMethod({
      request: example.FetchAddRequest,
      response: example.CounterResponse,
      json: { request: { value: required('int64') }, response: ANSWER },
      handle: (request, _context, done) => {
        const group = serving()
        if (group) group.write(example.FetchAddRequest.encode({ value: request.value }).finish(), done)
        else done(Status.OK, STARTING)
      },
    }),
    get: rpcMethod({
      request: example.GetRequest,
      response: example.CounterResponse,
      json: { request: {}, response: ANSWER },
      handle: (_request, _context, done) => {
        const group = serving()
        if (group) group.read(() => ({ answer: { success: true, value: toInt64(group.machine.value) } }), done)
        else done(Status.OK, STARTING)
      },
    }),
  }
  return { name: 'example.CounterService', methods }
}
