import { braft } from '../generated/braft.js'
import type { FileSystem } from '../raft/environment.js'
import { join } from './paths.js'
import { ProtoBufFile } from './protobuf-file.js'

/** `log_meta`: the first index of the log. */
export type LogMetaFile = ProtoBufFile<{ first_log_index: Parameters<typeof braft.LogPBMeta.encode>[0]['first_log_index'] }>

export function logMetaFile(fileSystem: FileSystem, directory: string): LogMetaFile {
  return new ProtoBufFile(fileSystem, join(directory, 'log_meta'), braft.LogPBMeta)
}
