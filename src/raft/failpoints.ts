import type { Failpoints } from './environment.js'

/**
 * Places between two steps of a change on disk, where a process may die and where the next step may fail: by name, with what
 * is so at that moment. None is passed once for each entry.
 */
export const STORAGE_FAILPOINTS = {
  'meta.saving': 'a newer term or vote is in force in memory, and nothing of it is on disk',
  'meta.slot-saved': 'the slot holds the new term and vote, raft_meta still the old ones',
  'meta.saved': 'term and vote are durable, and nobody has been told',
  'log.writing': 'a write of entries is under way, however many they are',
  'log.seal-recorded': 'what the full segment holds is recorded, and it is still the open one',
  'log.seal-renamed': 'the full segment has its sealed name, which is not durable yet',
  'log.sealed': 'the full segment is sealed for good, and there is no open one',
  'log.segment-created': 'the next segment exists, its name is not durable yet',
  'log.segment-named': 'the next segment is durable, the bound still speaks of the one before',
  'log.start-recorded': 'the new first index is recorded, log_meta still names the old one',
  'log.prefix-meta-saved': 'log_meta names the new first index, the segments below it are still there',
  'log.prefix-removed': 'the segments below the first index are removed, which is not durable yet',
  'log.suffix-bound-lowered': 'the bound is lowered, the entries above it are still there',
  'log.suffix-segment-removed': 'one of the segments above the cut is gone for good, others may still be there',
  'log.suffix-reopened': 'the sealed segment that is to be cut is the open one again, and still whole',
  'log.suffix-truncated': 'the open segment is shorter, which is not durable yet',
  'log.reset-emptied': 'the log is empty, log_meta still names the old first index',
  'bound.saving': 'the log is durable further than the bound says',
  'bound.saved': 'the bound is durable, and nobody has been told',
  'snapshot.files-synced': 'the files of the snapshot are durable, and no list names them',
  'snapshot.list-saved': 'the snapshot is whole under its temporary name',
  'snapshot.sealed': 'the list of the snapshot is recorded, and it still has its temporary name',
  'snapshot.renamed': 'the snapshot has its name, which is not durable yet',
  'snapshot.copy-noted': 'a copied file is listed, so that the copy can be resumed here',
  'snapshot.found': 'the node starts and has found its newest snapshot; older ones are still there',
  'identity.saving': 'who the directory is has changed in memory only',
  'identity.saved': 'who the directory is has changed for good, and nobody has been told',
} as const

/** Places between two steps of the protocol, where a process may die. */
export const ENGINE_FAILPOINTS = {
  'vote.durable': 'a vote for another member is durable, and the answer has not left',
  'candidate.durable': 'the own vote is durable, and nobody has been asked for theirs',
  'leader.elected': 'a quorum has voted for this member, which leads from here on and has proposed nothing',
  'leader.opened': 'the entry that opens the leadership is in the log and on its way to the others',
  'configuration.joint-proposed': 'the joint configuration is in the log and on its way to the others',
  'configuration.joint-committed': 'the joint configuration is committed, the one that ends it is not proposed',
  'configuration.stable-proposed': 'the new members alone are in the log and on their way to the others',
  'configuration.committed': 'the new members are committed, and who asked for them has not been told',
  'settle.marker-proposed': 'the marker for a member in rebuilding is in the log and on its way to the others',
  'settle.marker-committed': 'the marker is committed, and the member has not been told',
  'settle.vote-durable': 'the member in rebuilding has given its vote of the term to the leader, and does not count yet',
  'settle.member': 'the member counts again, and its leader has not been told',
  'transfer.begun': 'writes have stopped, and the target is behind',
  'transfer.released': 'the followers are released, and the target has not been told',
  'transfer.campaign': 'the target is told to campaign',
  'snapshot.saved': 'the new snapshot is durable, and the log still holds what it covers',
  'install.copied': 'the copied snapshot is durable, and the state machine has not loaded it',
  'install.loaded': 'the state machine has loaded the copied snapshot, the log does not know it',
  'install.done': 'the log knows the installed snapshot, and the leader has not been told',
} as const

export type StorageFailpoint = keyof typeof STORAGE_FAILPOINTS
export type FailpointName = StorageFailpoint | keyof typeof ENGINE_FAILPOINTS

/** Nothing ever happens at a point: production's. */
export const NO_FAILPOINTS: Failpoints = { hit: () => null }
