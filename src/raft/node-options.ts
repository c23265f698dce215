import type { Configuration } from './configuration.js'
import type { Environment } from './environment.js'
import type { InstallTasks } from './install-tasks.js'
import type { StateMachine } from './raft.js'
import type { IdentityStorage, LogStorage, RaftMetaStorage, SnapshotStorage } from './storage.js'
import type { AskStanding } from './survey.js'

/** What a node is made of. */
export interface NodeOptions {
  readonly environment: Environment
  /** The members of a new group; used only while the disk is empty. Empty: wait to be added. */
  readonly initialConf: Configuration
  readonly fsm: StateMachine
  readonly logStorage: LogStorage
  readonly metaStorage: RaftMetaStorage
  /** Null, or absent: no snapshots are taken or installed, and the log only grows. */
  readonly snapshotStorage?: SnapshotStorage | null
  /** How often a snapshot is taken; 0: only on demand. Default one hour, as in braft. */
  readonly snapshotIntervalMs?: number
  /** Bytes per second that copying snapshots may take here, sending and receiving each; 0: as many as there are. Default 0. */
  readonly snapshotThrottleBytesPerSecond?: number
  /** How many nodes that share it may copy a snapshot from their leaders at a time. Absent: as many as are asked to. */
  readonly installTasks?: InstallTasks
  /**
   * Of a snapshot that is copied from another member, files that this member's last snapshot has under the same name, with the same
   * checksum and size, are linked instead of copied (braft filter_before_copy_remote). It is worth it for machines with many files,
   * and as sure as their checksums: the CRC-32C that a file gets which has none, or what the machine says. Default false.
   */
  readonly filterBeforeCopyRemote?: boolean
  /**
   * While a peer is sent a snapshot, the log behind that one is kept for it although newer snapshots cover it, until so many
   * bytes were appended meanwhile. Default 1 GiB.
   */
  readonly heldLogBytesMax?: number
  /** Null for an embedder that answers itself for directories never losing their past. */
  readonly identityStorage: IdentityStorage | null
  /** What an empty directory starts as; 'founding' unless said otherwise. */
  readonly standing?: 'founding' | 'rebuilding' | 'member'
  /** New for every start of the process. */
  readonly bootId: string
  /** T: a follower that hears nothing for T to 1.5 T campaigns. Default 1000. */
  readonly electionTimeoutMs?: number
  /**
   * 0 to 1000: of the members that are well the one with the highest leads, and 0 never campaigns by itself. All members may differ.
   * Default 100.
   */
  readonly priority?: number
  /** A heartbeat every T / factor, at least 10 ms; half as often while there is nothing to say, where the factor is 10 or more. Default 10. */
  readonly heartbeatFactor?: number
  /**
   * Lets the leader answer reads of mode 'lease' by its clock alone. All members must have it, the same election timeout, and
   * clocks that keep to `maxClockDriftMs`; a member that was restarted votes for nobody for T. Default false.
   */
  readonly leaderLease?: boolean
  /** With leases: by how much two clocks may differ T after they were read together; above 0, below T. Default T / 10. */
  readonly maxClockDriftMs?: number
  /**
   * Lets witnesses lead for as long as it takes to bring up a member that holds data, and has their leaders send them entries whole
   * (braft raft_enable_witness_to_leader). All members alike. Which members are witnesses their PeerIds say. Default false: they
   * never lead, and hold no data at all.
   */
  readonly witnessToLeader?: boolean
  /**
   * Braft nodes may be members: this asks any member, of either kind, for its standing. Configurations are written as braft writes
   * them, and an empty directory votes after a survey (survey.ts). Absent: all members are raftctl's.
   */
  readonly askStanding?: AskStanding
  /**
   * How many requests of a leader are held for up to T/4 when they come before those that they follow, as from a braft leader with
   * several under way at a time (raft_max_parallel_append_entries_rpc_num). Default 0; braft's size is 8.
   */
  readonly appendCacheSize?: number
  /** An added member that lacks no more entries than this may become a member. Default 1000. */
  readonly catchupMargin?: number
  /** For changes of the members that name none. Absent: as braft, for as long as an added member answers once per T. */
  readonly catchupTimeoutMs?: number
  /** The largest task that `apply` takes. Default 1.5 MiB. */
  readonly entryBytesMax?: number
  /** Tasks proposed and not decided before `apply` answers EBUSY. Default 65,536 tasks or 64 MiB. */
  readonly pendingTasksMax?: number
  readonly pendingBytesMax?: number
}
