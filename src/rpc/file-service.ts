import { braft } from '../generated/braft.js'
import { Status } from '../raft/errors.js'
import { BrpcCode } from './braft-error.js'
import { type RpcService, rpcMethod } from './service.js'

/** braft.FileService: members fetch snapshots by it. This process keeps none, so it has no file to give. */
export function fileService(): RpcService {
  return {
    name: 'braft.FileService',
    methods: {
      get_file: rpcMethod({
        request: braft.GetFileRequest,
        response: braft.GetFileResponse,
        handle: (_request, _context, done) => done(new Status(BrpcCode.ENOMETHOD, 'this server keeps no snapshots')),
      }),
    },
  }
}
