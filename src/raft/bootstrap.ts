import type { Done } from './closure.js'
import { type Configuration, ConfigurationEntry, encodeConfiguration } from './configuration.js'
import type { Checksum } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import { EntryBatch, EntryType } from './log-entry.js'
import type { StateMachine } from './raft.js'
import type { IdentityStorage, LogStorage, RaftMetaStorage, SnapshotStorage, SnapshotWriter } from './storage.js'
import { asTerm, type LogIndex, NO_INDEX, plus } from './types.js'

/** braft begins here too: a missing raft_meta means this term, without a vote. */
const FIRST_TERM = asTerm(1)

/** What a group begins with. The storages are those that its node will be started with, and hold nothing yet. */
export interface BootstrapOptions {
  /** Who founds the group; at least one. */
  readonly groupConf: Configuration
  /** As many entries count as applied: the state of `fsm` stands for them. Default 0: a group without a past. */
  readonly lastLogIndex?: LogIndex
  /** Holds the state that the group begins with. Needed with `lastLogIndex`, as is `snapshotStorage`. */
  readonly fsm?: StateMachine | null
  readonly logStorage: LogStorage
  readonly metaStorage: RaftMetaStorage
  readonly snapshotStorage?: SnapshotStorage | null
  /** Null for an embedder that answers itself for directories never losing their past. */
  readonly identityStorage: IdentityStorage | null
  /** That of the configuration entry. */
  readonly checksum: Checksum
}

/**
 * Gives an empty directory the beginning of a group (braft bootstrap): with `lastLogIndex` N a snapshot of the machine's state at
 * (N, term 1), and the configuration as entry N + 1 of term 1. `done` once it is durable and the log is closed; then start the node.
 *
 * Bootstrap every founder with the same state, or one that is alone in `groupConf`, and add the others: members that begin empty
 * could elect each other without the state of the first.
 *
 * EINVAL: nobody is in `groupConf`, or a state is to be kept and there is no machine or no snapshot storage. EEXIST: there is a log, a
 * vote or a snapshot already; nothing was changed. Another: what the storage or the machine answered; delete the directory then.
 */
export function bootstrap(options: BootstrapOptions, done: Done): void {
  const problem = problemOf(options)
  if (problem) return done(problem)
  const { identityStorage } = options
  // First of all: a log beside which no identity lies would be taken for one whose identity was lost.
  if (!identityStorage) return begin(options, done)
  identityStorage.load('founding', (status, identity) => {
    if (!status.ok) return done(status)
    if (identity!.standing !== 'founding') return done(exists(`a member of a group (${identity!.standing})`))
    begin(options, done)
  })
}

function problemOf({ groupConf, lastLogIndex = NO_INDEX, fsm, snapshotStorage }: BootstrapOptions): Status | null {
  if (groupConf.isEmpty) return Status.error(ErrorCode.EINVAL, 'a group needs at least one member')
  if (!Number.isSafeInteger(lastLogIndex) || lastLogIndex < 0) return Status.error(ErrorCode.EINVAL, `${lastLogIndex} is no index of a log`)
  if (lastLogIndex === 0 || (fsm && snapshotStorage)) return null
  return Status.error(ErrorCode.EINVAL, `a state at index ${lastLogIndex} needs a machine that holds it and a snapshot storage`)
}

function begin(options: BootstrapOptions, done: Done): void {
  const { logStorage, metaStorage, lastLogIndex = NO_INDEX } = options
  logStorage.init((status, log) => {
    if (!status.ok) return done(status)
    const finish: Done = (outcome) => logStorage.close((closed) => done(outcome.ok ? closed : outcome))
    if (log!.firstIndex !== 1 || log!.lastIndex !== 0) return finish(exists(`a log [${log!.firstIndex}, ${log!.lastIndex}]`))
    metaStorage.load((loaded, meta) => {
      if (!loaded.ok) return finish(loaded)
      if (meta!.term !== FIRST_TERM || !meta!.votedFor.isEmpty) return finish(exists(`term ${meta!.term}`))
      keepState(options, (kept) => {
        if (!kept.ok) return finish(kept)
        if (lastLogIndex === 0) return appendConfiguration(options, finish)
        logStorage.reset(plus(lastLogIndex, 1), (reset) => (reset.ok ? appendConfiguration(options, finish) : finish(reset)))
      })
    })
  })
}

/** The machine's state as a snapshot, where it stands for entries; visible before the log begins behind it. */
function keepState(options: BootstrapOptions, done: Done): void {
  const { snapshotStorage, fsm, groupConf, lastLogIndex = NO_INDEX } = options
  if (!snapshotStorage) return done(Status.OK)
  snapshotStorage.init((status, newest) => {
    if (!status.ok) return done(status)
    if (newest) return done(exists(`a snapshot of ${newest.lastIncluded.index}`))
    if (lastLogIndex === 0) return done(Status.OK)
    const lastIncluded = { index: lastLogIndex, term: FIRST_TERM }
    const meta = { lastIncluded, configuration: new ConfigurationEntry(lastIncluded, groupConf) }
    snapshotStorage.create(null, (created, writer) => {
      if (!created.ok) return done(created)
      save(fsm!, writer!, (saved) => {
        if (saved.ok) return snapshotStorage.commit(writer!, meta, done)
        snapshotStorage.discard(writer!, () => done(saved))
      })
    })
  })
}

function save(fsm: StateMachine, writer: SnapshotWriter, done: Done): void {
  try {
    fsm.onSnapshotSave(writer, done)
  } catch (error) {
    done(Status.error(ErrorCode.ESTATEMACHINE, `the machine threw while it saved its state: ${(error as Error).message}`))
  }
}

function appendConfiguration({ groupConf, logStorage, checksum, lastLogIndex = NO_INDEX }: BootstrapOptions, done: Done): void {
  const index = plus(lastLogIndex, 1)
  const data = encodeConfiguration(new ConfigurationEntry({ index, term: FIRST_TERM }, groupConf))
  logStorage.appendEntries([EntryBatch.encode(index, FIRST_TERM, [{ type: EntryType.CONFIGURATION, data }], checksum)], done)
}

function exists(what: string): Status {
  return Status.error(ErrorCode.EEXIST, `there is ${what} already: a group is only begun in an empty directory`)
}
