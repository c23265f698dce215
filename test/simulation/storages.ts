import type { Environment, Executor, FileSystem } from '../../src/raft/environment.js'
import type { Status } from '../../src/raft/errors.js'
import type { PeerId } from '../../src/raft/peer-id.js'
import type { RaftMeta } from '../../src/raft/storage.js'
import { checksum } from '../../src/storage/checksum.js'
import { DEFAULT_GROUP, type NodeStorage, openStorage, storagePaths } from '../../src/storage/open-storage.js'
import { FileRaftMetaStorage } from '../../src/storage/raft-meta.js'

export const GROUP = DEFAULT_GROUP
export const DATA_DIRECTORY = '/data'
export const PATHS = storagePaths(DATA_DIRECTORY)

/** The storages of a node process, as production opens them. */
export function openStorages(
  fileSystem: FileSystem,
  environment: Environment,
  options: { peerId: PeerId; maxSegmentBytes: number },
): NodeStorage {
  const { clock, executor, random } = environment
  const { peerId, maxSegmentBytes } = options
  return openStorage({
    fileSystem,
    executor,
    clock,
    random: random.fork('storage'),
    directory: DATA_DIRECTORY,
    peerId,
    clusterId: null,
    name: null,
    maxSegmentBytes,
  })
}

/** Term and vote as the real storage reads them from that file system. */
export function readMeta(fileSystem: FileSystem, executor: Executor, done: (status: Status, meta?: RaftMeta) => void): void {
  new FileRaftMetaStorage({ fileSystem, executor, checksum, directory: PATHS.raftMeta, integrityDirectory: PATHS.integrity }).load(done)
}
