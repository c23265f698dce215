import type { Connection } from '../../terminal/connection.js'
import { CliError } from '../../terminal/errors.js'
import type { NodeKind, NodeReport } from '../node-report.js'
import { BraftEngine } from './braft.js'
import type {
  ChangeMembersCall,
  ChangeProgress,
  ClusterEngine,
  LogCall,
  NodeCall,
  ResetMembersCall,
  SentEntry,
  TransferCall,
} from './engine.js'
import { RaftctlEngine } from './raftctl.js'
import type { SnapshotCopyCall, SnapshotEngine, SnapshotPiece } from './snapshots.js'

/**
 * Asks each node by what it is, so that a group of both kinds is one cluster: a node of ours over raftctl.v1.Control, which says
 * more, a node of C++ braft by its own protocol. What a node is shows when its status is asked, at no cost for ours: one that does
 * not know Control is braft's. A node may become the other kind between two questions.
 */
export class EitherEngine implements ClusterEngine {
  readonly snapshots: SnapshotEngine
  private readonly raftctl: RaftctlEngine
  private readonly braft: BraftEngine
  private readonly kinds = new Map<string, NodeKind>()

  /** `likely`: how a node that is not known yet is asked first. */
  constructor(
    connection: Connection,
    private readonly likely: NodeKind,
  ) {
    this.raftctl = new RaftctlEngine(connection)
    this.braft = new BraftEngine(connection)
    this.snapshots = new EitherSnapshots((call) => this.at(call))
  }

  [Symbol.dispose](): void {
    this.raftctl[Symbol.dispose]()
    this.braft[Symbol.dispose]()
  }

  async nodeStatus(call: NodeCall): Promise<NodeReport> {
    const { endpoint } = call
    if ((this.kinds.get(endpoint) ?? this.likely) === 'braft') {
      const { report, isRaftctl } = await this.braft.look(call)
      if (!isRaftctl) return this.known(report)
    }
    try {
      return this.known(await this.raftctl.nodeStatus(call))
    } catch (thrown) {
      if (!isBraft(thrown)) throw thrown
    }
    return this.known(await this.braft.nodeStatus(call))
  }

  async *readLog(call: LogCall, signal: AbortSignal): AsyncGenerator<SentEntry> {
    yield* (await this.at(call)).readLog(call, signal)
  }

  async countLog(call: NodeCall) {
    return (await this.at(call)).countLog(call)
  }

  async checkDisk(call: NodeCall & { readonly samples: number }) {
    return (await this.at(call)).checkDisk(call)
  }

  async confirmLeader(call: NodeCall) {
    return (await this.at(call)).confirmLeader(call)
  }

  async transferLeader(call: TransferCall) {
    return (await this.at(call)).transferLeader(call)
  }

  async settings(call: NodeCall) {
    return (await this.at(call)).settings(call)
  }

  async roundTrips(call: NodeCall, timeoutMs: number) {
    return (await this.at(call)).roundTrips(call, timeoutMs)
  }

  async resetMembers(call: ResetMembersCall) {
    return (await this.at(call)).resetMembers(call)
  }

  async changeMembers(call: ChangeMembersCall, listener: (progress: ChangeProgress) => void) {
    return (await this.at(call)).changeMembers(call, listener)
  }

  /** The engine that speaks to this node; one that was never asked is asked what it is. */
  private async at(call: NodeCall): Promise<ClusterEngine> {
    if (!this.kinds.has(call.endpoint)) await this.nodeStatus({ endpoint: call.endpoint, group: call.group })
    return this.kinds.get(call.endpoint) === 'braft' ? this.braft : this.raftctl
  }

  private known(report: NodeReport): NodeReport {
    this.kinds.set(report.endpoint, report.kind)
    return report
  }
}

/** brpc answered that it knows no such service. */
export function isBraft(thrown: unknown): boolean {
  return thrown instanceof CliError && thrown.code === 'E_UNSUPPORTED' && thrown.details.kind === 'braft'
}

class EitherSnapshots implements SnapshotEngine {
  constructor(private readonly at: (call: NodeCall) => Promise<ClusterEngine>) {}

  async take(call: NodeCall) {
    return (await this.at(call)).snapshots.take(call)
  }

  async list(call: NodeCall) {
    return (await this.at(call)).snapshots.list(call)
  }

  async *copy(call: SnapshotCopyCall, signal: AbortSignal): AsyncGenerator<SnapshotPiece> {
    yield* (await this.at(call)).snapshots.copy(call, signal)
  }

  async mark(call: NodeCall) {
    return (await this.at(call)).snapshots.mark(call)
  }

  async hash(call: NodeCall & { readonly mark: number }) {
    return (await this.at(call)).snapshots.hash(call)
  }
}
