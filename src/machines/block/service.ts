import { example } from '../../generated/block.js'
import { ErrorCode, Status } from '../../raft/errors.js'
import { fromInt64 } from '../../raft/types.js'
import { optional, required } from '../../rpc/json-message.js'
import { type CallContext, type RpcService, rpcMethod } from '../../rpc/service.js'
import { type Serving, STARTING } from '../serving.js'
import { encodeWrite } from './commands.js'
import { type BlockMachine, isOnDevice } from './state-machine.js'

const REQUEST = { offset: required('int64'), size: optional('int32') } as const
const ANSWER = { success: required('bool'), redirect: optional('string') } as const
const BYTES_MAX = 32 * 1024 * 1024

/** example.BlockService of braft; `serving` is null while the group is not open. The bytes travel in the attachment. */
export function blockService(serving: () => Serving<BlockMachine> | null): RpcService {
  const methods = {
    write: rpcMethod({
      request: example.BlockRequest,
      response: example.BlockResponse,
      json: { request: REQUEST, response: ANSWER },
      handle: (request, context, done) => {
        const group = serving()
        if (!group) return done(Status.OK, STARTING)
        const { attachment } = context
        const problem = problemOf(context, fromInt64(request.offset), attachment.length)
        if (problem) done(problem)
        else group.write(encodeWrite(request, attachment), done)
      },
    }),
    read: rpcMethod({
      request: example.BlockRequest,
      response: example.BlockResponse,
      json: { request: REQUEST, response: ANSWER },
      handle: (request, context, done) => {
        const group = serving()
        if (!group) return done(Status.OK, STARTING)
        const offset = fromInt64(request.offset)
        const size = request.size ?? 0
        const problem = problemOf(context, offset, size)
        if (problem) done(problem)
        else group.read(() => ({ answer: { success: true }, attachment: group.machine.read(offset, size) }), done)
      },
    }),
  }
  return { name: 'example.BlockService', methods }
}

function problemOf({ protocol }: CallContext, offset: number, length: number): Status | null {
  const refused = (problem: string) => Status.error(ErrorCode.EINVAL, problem)
  if (protocol !== 'baidu_std') return refused('the bytes of a block travel in the attachment, which only baidu_std has')
  if (length < 0 || length > BYTES_MAX) return refused(`${length} bytes at once: at most ${BYTES_MAX}`)
  return isOnDevice(offset, length) ? null : refused(`${length} bytes at ${offset} do not lie on the device`)
}
