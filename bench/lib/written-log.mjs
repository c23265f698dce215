// A log of many small entries as a member leaves it behind: the only one of its group, which never listens.
import {
  bootstrap,
  Configuration,
  checksum,
  EntryBatch,
  EntryType,
  NodeFileSystem,
  openStorage,
  PeerId,
  RaftServer,
} from '../../dist/src/index.js'

export const SELF = '127.0.0.1:1'
export const CONF = Configuration.parse(SELF)
export const CLUSTER_ID = '7c9a1be0d2f34c55a1e86b0f3d4c2a19'
const GROUP = 'bench'
const HEADER_BYTES = 24
const BATCH_BYTES = 1024 * 1024

/** `entries` of so many bytes each behind the group's configuration; answers the bytes of all and how long it took. */
export async function writtenLog({ directory, entries, bytes }) {
  const startedAt = performance.now()
  const peerId = PeerId.parse(SELF)
  const server = new RaftServer({ peerId, clusterId: CLUSTER_ID })
  const { executor, environment, identity } = server
  const { clock, random } = environment
  const ask = (question) =>
    new Promise((done, fail) =>
      executor.post(() => question((status, value) => (status.ok ? done(value) : fail(new Error(status.toString())))), 'bench'),
    )
  const storage = () =>
    openStorage({
      fileSystem: new NodeFileSystem(executor),
      executor,
      clock,
      random,
      directory,
      peerId,
      clusterId: CLUSTER_ID,
      name: identity.name,
      group: GROUP,
      machine: GROUP,
    })
  await ask((done) => bootstrap({ ...storage(), groupConf: CONF, checksum }, done))
  const { logStorage } = storage()
  const { lastIndex } = await ask((done) => logStorage.init(done))
  const perBatch = Math.max(1, Math.floor(BATCH_BYTES / (bytes + HEADER_BYTES)))
  const tasks = Array.from({ length: perBatch }, (_, i) => ({ type: EntryType.DATA, data: Buffer.alloc(bytes, i) }))
  for (let written = 0; written < entries; ) {
    const count = Math.min(perBatch, entries - written)
    const batch = EntryBatch.encode(lastIndex + 1 + written, 1, tasks.slice(0, count), checksum)
    await ask((done) => logStorage.appendEntries([batch], done))
    written += count
  }
  await ask((done) => logStorage.close(done))
  await server.close()
  return { logBytes: entries * (bytes + HEADER_BYTES), tookMs: performance.now() - startedAt }
}
