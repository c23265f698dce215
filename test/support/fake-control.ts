import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../../src/generated/raftctl.js'
import { Kv } from '../../src/machines/kv/grpc-service.js'
import { Control } from '../../src/rpc/control-definition.js'
import { toGrpcError } from '../../src/rpc/error-detail.js'
import type { Handlers } from '../../src/rpc/grpc.js'
import type { CallFailure, ServerCall, ServerStreamCall, UnaryDone } from '../../src/rpc/grpc-call.js'
import { MetadataKey } from '../../src/rpc/identity.js'
import { RpcServer } from '../../src/rpc/server.js'

type StatusFields = raftctl.v1.NodeStatus.$Properties
export type ControlHandlers = Handlers<(typeof Control)['methods']>
export type KvHandlers = Handlers<(typeof Kv)['methods']>

export interface FakeNodeOptions {
  readonly kv?: KvHandlers
}

/** A node that answers raftctl.v1.Control with whatever the test says; change `status` at any time. */
export class FakeNode {
  status: StatusFields = {}
  /** Answers `GetLeader(confirm)`; UNIMPLEMENTED when null. */
  leader: raftctl.v1.LeaderResponse.$Properties | null = null
  /** Answers to anything else, by method; what is not here is UNIMPLEMENTED. */
  readonly answers: { -readonly [K in keyof ControlHandlers]: ControlHandlers[K] } = {}
  /** Answers `ReadLog`: what is there now, after which a caller that follows waits. It may throw a refusal. */
  log: (request: raftctl.v1.ReadLogRequest) => raftctl.v1.LogRecord.$Properties[] = () => []
  stats: raftctl.v1.LogStatsResponse.$Properties = {}
  clusterId = '7f3a00000000000000000000000000c1'
  requests = 0
  private readonly server = new RpcServer()
  private port = 0

  private constructor(options: FakeNodeOptions) {
    const handlers: ControlHandlers = {
      ...this.answering(),
      GetNodeStatus: (call, done) => this.guarded(call, done, () => done(null, { cluster_id: this.clusterId, ...this.status })),
      GetLeader: (call, done) =>
        this.guarded(call, done, () => {
          if (this.leader) return done(null, this.leader)
          done(toGrpcError(grpc.status.UNIMPLEMENTED, { code: 'E_UNSUPPORTED', retryable: false, applied: 'no' }, 'not offered'))
        }),
      ReadLog: (call) => {
        try {
          for (const record of this.log(call.request)) call.write(record)
          if (!call.request.follow) call.end()
        } catch (refusal) {
          call.fail(refusal as CallFailure)
        }
      },
      LogStats: (call, done) => this.guarded(call, done, () => done(null, this.stats)),
    }
    this.server.addGrpcService(Control, handlers)
    if (options.kv) this.server.addGrpcService(Kv, options.kv)
  }

  /** Every method, as `answers` has it when it is called. */
  private answering(): ControlHandlers {
    const answer = (name: keyof ControlHandlers) => (call: ServerStreamCall<never, never>, done?: UnaryDone<never>) => {
      const refuse = (failure: CallFailure) => (done ? done(failure) : call.fail(failure))
      this.guarded(call, refuse, () => {
        const handler = this.answers[name] as ((...args: unknown[]) => void) | undefined
        if (handler) return handler(call, done)
        refuse(toGrpcError(grpc.status.UNIMPLEMENTED, { code: 'E_UNSUPPORTED', retryable: false, applied: 'no' }, 'not offered'))
      })
    }
    const names = Object.keys(Control.methods) as (keyof ControlHandlers)[]
    return Object.fromEntries(names.map((name) => [name, answer(name)])) as ControlHandlers
  }

  static async listen(options: FakeNodeOptions = {}): Promise<FakeNode> {
    const node = new FakeNode(options)
    node.port = (await node.server.listen()).port
    return node
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  get peerId(): string {
    return `${this.address}:0:0`
  }

  close(): void {
    void this.server.close({ deadlineMs: 0 })
  }

  /** A real node refuses callers that expect another cluster. */
  private guarded(call: ServerCall, done: (failure: CallFailure) => void, answer: () => void): void {
    this.requests++
    const expected = call.field(MetadataKey.clusterId)
    if (expected === undefined || expected === this.clusterId) return answer()
    done(
      toGrpcError(
        grpc.status.FAILED_PRECONDITION,
        { code: 'E_CLUSTER_MISMATCH', retryable: false, applied: 'no' },
        `${this.address} belongs to cluster ${this.clusterId}, the caller expects ${expected}`,
      ),
    )
  }
}

export interface FakeClusterOptions extends FakeNodeOptions {
  readonly size?: number
  readonly leader?: number | null
  readonly term?: number
}

/** A group of fakes that agree: node 0 leads, everybody has applied everything. */
export async function fakeCluster(options: FakeClusterOptions = {}): Promise<FakeNode[]> {
  const { size = 3, leader = 0, term = 8 } = options
  const nodes = await Promise.all(Array.from({ length: size }, () => FakeNode.listen(options)))
  agree(nodes, { leader, term })
  return nodes
}

export const COMMIT = 1_284_511

/** Makes the replies of `nodes` agree on a leader; null: nobody leads. */
export function agree(nodes: readonly FakeNode[], { leader, term }: { leader: number | null; term: number }): void {
  const members = nodes.map((node, at) => ({ peer_id: node.peerId, name: `n${at + 1}`, role: 'voter' }))
  for (const [at, node] of nodes.entries()) {
    const leads = at === leader
    node.status = {
      ...{ group: 'kv', peer_id: node.peerId, name: `n${at + 1}`, standing: 'member', term, version: '0.1.0', machine: 'kv' },
      state: leads ? 'LEADER' : 'FOLLOWER',
      leader_id: leader === null ? '' : nodes[leader]!.peerId,
      ...(leader === null || leads ? {} : { leader_contact_ms: 12 }),
      ...(leader === null ? {} : { leader_for_ms: 8_040_000 }),
      ...{ first_index: 1_200_001, last_index: COMMIT, commit_index: COMMIT, applied_index: COMMIT, log_bytes: 8_000_000 },
      ...{ data_bytes: 412_000_000, election_timeout_ms: 1000, heartbeat_ms: 100, uptime_ms: 9_000_000 },
      snapshot: { index: 1_200_000, term: 7, bytes: 388_000_000, age_ms: 60_000 },
      membership: { members, config_index: 12, entry_index: 12, stage: 'stable', committed: true },
      progress: leads
        ? nodes
            .filter((_, other) => other !== at)
            .map((other) => ({
              peer_id: other.peerId,
              match_index: COMMIT,
              next_index: COMMIT + 1,
              state: 'replicate',
              last_contact_ms: 12,
            }))
        : [],
    }
    node.leader = leads ? { leader_id: node.peerId, term, confirmed: true, leader_for_ms: 8_040_000 } : null
  }
}
