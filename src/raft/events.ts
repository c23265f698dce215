import type { Status } from './errors.js'
import type { MembershipStage } from './node-status.js'
import type { PeerId } from './peer-id.js'
import type { LogIndex, Term } from './types.js'

/** What a disk is busy with. */
export type DiskWrite = 'log' | 'meta'

/** What a node is: braft's states, by braft's names. */
export type RaftState = 'LEADER' | 'TRANSFERRING' | 'CANDIDATE' | 'FOLLOWER' | 'ERROR' | 'UNINITIALIZED' | 'SHUTTING' | 'SHUTDOWN'

/** Where an event happened. */
export interface EventOrigin {
  readonly groupId: string
  readonly peerId: PeerId
}

/**
 * One structured event per change an operator or a checker cares about. Names are part of the public interface:
 * logs, metrics, `events` and the simulator's invariants read them.
 */
export type RaftEvent = EventOrigin &
  (
    | { readonly name: 'node.started'; readonly term: Term; readonly firstIndex: LogIndex; readonly lastIndex: LogIndex }
    | { readonly name: 'node.founded'; readonly founders: number }
    /** A new group does not begin: these founders were not heard. */
    | { readonly name: 'founding.waiting'; readonly missing: string }
    /** The group began without this member, and these founders cannot be asked any more: it is rebuilt. */
    | { readonly name: 'founding.missed'; readonly missing: string }
    | { readonly name: 'node.rebuild-needed'; readonly reason: string }
    /** This member is no longer in the configuration of its group, and will not be again with this directory. */
    | { readonly name: 'node.removed'; readonly reason: string }
    | { readonly name: 'node.error'; readonly status: Status }
    | { readonly name: 'node.stopped' }
    | { readonly name: 'state.changed'; readonly from: RaftState; readonly to: RaftState; readonly term: Term; readonly reason: Status }
    | { readonly name: 'term.raised'; readonly term: Term; readonly from: Term }
    | { readonly name: 'meta.durable'; readonly term: Term; readonly votedFor: PeerId }
    | { readonly name: 'prevote.started'; readonly term: Term }
    | { readonly name: 'election.started'; readonly term: Term; readonly reason: string }
    | { readonly name: 'vote.granted'; readonly term: Term; readonly candidate: PeerId }
    | { readonly name: 'election.won'; readonly term: Term; readonly votes: number; readonly voters: number; readonly afterMs: number }
    | { readonly name: 'leader.followed'; readonly leader: PeerId; readonly term: Term }
    | { readonly name: 'leader.lost'; readonly leader: PeerId; readonly term: Term; readonly reason: Status }
    | { readonly name: 'leader.ready'; readonly term: Term; readonly index: LogIndex }
    | { readonly name: 'leader.handover'; readonly target: PeerId; readonly term: Term; readonly reason: string }
    /** A timer ran this late: the process was paused, or its event loop blocked. */
    | { readonly name: 'node.stood-still'; readonly forMs: number }
    /** The clock of this process was seen to go back: its leader holds no lease any more in this term. */
    | { readonly name: 'clock.went-back'; readonly byMs: number }
    /** A write has been under way for longer than an election timeout. */
    | { readonly name: 'disk.stalled'; readonly write: DiskWrite; readonly forMs: number }
    | { readonly name: 'disk.recovered'; readonly write: DiskWrite; readonly forMs: number }
    /** It gives way: its disk stands still, those of a quorum of the others do not. */
    | { readonly name: 'leader.stalled'; readonly term: Term; readonly forMs: number }
    /** Its disk runs short, and it leads on: too few others could take entries, or none of them took over. */
    | { readonly name: 'leader.short'; readonly term: Term; readonly reason: string }
    | { readonly name: 'election-timeout.changed'; readonly electionTimeoutMs: number; readonly maxClockDriftMs: number }
    /** Read-only mode (read-only.ts). */
    | { readonly name: 'readonly.entered' | 'readonly.left'; readonly term: Term }
    /** The half-written end of the last write was cut off: nothing in it was acknowledged. */
    | { readonly name: 'log.tail-cut'; readonly file: string; readonly offset: number; readonly bytes: number; readonly problem: string }
    | { readonly name: 'log.durable'; readonly index: LogIndex }
    | { readonly name: 'log.truncated'; readonly lastKept: LogIndex }
    /** Everything was dropped: a snapshot holds what comes before `nextIndex`. */
    | { readonly name: 'log.reset'; readonly nextIndex: LogIndex }
    | { readonly name: 'snapshot.saved'; readonly index: LogIndex; readonly snapshotTerm: Term; readonly tookMs: number }
    | {
        readonly name: 'snapshot.installed'
        readonly index: LogIndex
        readonly snapshotTerm: Term
        readonly tookMs: number
        readonly filesReused: number
      }
    | { readonly name: 'snapshot.failed'; readonly what: 'save' | 'install'; readonly status: Status }
    | { readonly name: 'snapshot.sending'; readonly peer: PeerId; readonly index: LogIndex; readonly uri: string }
    /** A member that had lost its past counts again. */
    | { readonly name: 'node.rebuilt'; readonly term: Term; readonly incarnation: string }
    | { readonly name: 'member.settled'; readonly peer: PeerId; readonly incarnation: string; readonly upTo: LogIndex }
    | { readonly name: 'commit.advanced'; readonly index: LogIndex }
    | { readonly name: 'apply.advanced'; readonly index: LogIndex }
    | { readonly name: 'configuration.committed'; readonly index: LogIndex; readonly peers: string }
    /** A change of the members went on, ended ('none', OK) or came to nothing ('none', the reason). */
    | { readonly name: 'configuration.stage'; readonly stage: MembershipStage; readonly target: string; readonly reason: Status }
    | { readonly name: 'configuration.reset'; readonly peers: string }
    | { readonly name: 'alarm.raised' | 'alarm.cleared'; readonly alarm: 'NOSPACE' }
    /** What runs at its address may not take part: a braft node, where none are taken. */
    | { readonly name: 'peer.refused'; readonly peer: PeerId; readonly reason: string }
    | { readonly name: 'peer.up'; readonly peer: PeerId }
    | { readonly name: 'peer.down'; readonly peer: PeerId; readonly status: Status }
  )
