import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../generated/raftctl.js'
import type { Executor } from '../raft/environment.js'
import { ErrorCode, type Status } from '../raft/errors.js'
import { PeerId } from '../raft/peer-id.js'
import { fromInt64 } from '../raft/types.js'
import { Control } from './control-definition.js'
import { type GroupFacts, membershipOf, nodeStatusOf, peerText } from './control-status.js'
import { toGrpcError } from './error-detail.js'
import { type EventLog, eventFields, type LoggedEvent } from './event-log.js'
import type { Faults } from './faults.js'
import type { Handlers } from './grpc.js'
import type { ProcessIdentity } from './identity.js'
import type { ManagedNode, NodeManager } from './node-manager.js'

/** What the control service needs of a node; the engine's Node is one. */
export interface ControlledNode extends ManagedNode {
  readIndex(timeoutMs: number, done: (status: Status) => void): void
}

/** What the control service needs of the process. */
export interface ControlHost {
  readonly identity: ProcessIdentity
  readonly nodes: NodeManager<ControlledNode>
  readonly executor: Executor
  readonly events: EventLog
  readonly faults: Faults
  readonly uptimeMs: () => number
  facts(groupId: string): Promise<GroupFacts>
  nameOf(peer: PeerId): string
  /** Starts a graceful stop; the answer to the caller goes out first. */
  shutdown(graceMs: number): void
  /** Answers the level in force; null when `level` is none. */
  setLogLevel(level: string, ttlMs: number): string | null
  effectiveConfig(): { values: Record<string, string>; origins: Record<string, string> }
  checkDisk(samples: number): Promise<{ p50Ms: number; p99Ms: number; freeBytes: number; totalBytes: number }>
  checkPeers(samples: number): Promise<raftctl.v1.CheckPeersResponse.Peer.$Properties[]>
  /** Flips one byte in the state of a group's machine; false when that group has no such machine. */
  flipByte(groupId: string): boolean
}

type UnaryCall<Q> = grpc.ServerUnaryCall<Q, never>
type Failure = grpc.ServerErrorResponse

const CONFIRM_TIMEOUT_MS = 2000

/**
 * raftctl.v1.Control: what administrators ask of a node. Reads answer on every member, also without a leader.
 * Methods that this version does not offer answer UNIMPLEMENTED with E_UNSUPPORTED.
 */
export class ControlService {
  constructor(private readonly host: ControlHost) {}

  /** For RpcServer.addGrpcService. */
  get handlers(): Handlers<(typeof Control)['methods']> {
    return {
      ...unsupportedMethods(),
      GetNodeStatus: unary((request) => this.nodeStatus(request.group)),
      ListGroups: unary(() => this.listGroups()),
      Probe: unary(() => this.probe()),
      GetLeader: unary((request) => this.leader(request)),
      GetConfiguration: unary((request) => this.configuration(request)),
      TransferLeader: unary((request) =>
        this.transfer(request.group, request.timeout_ms, (node) => this.transferTarget(node, request.target)),
      ),
      StepDown: unary((request) => this.transfer(request.group, request.timeout_ms, (node) => this.successor(node, request.exclude))),
      Subscribe: (call) => this.subscribe(call),
      Shutdown: unary(async (request) => {
        this.host.shutdown(request.grace_ms)
        return {}
      }),
      SetLogLevel: unary(async (request) => {
        const level = this.host.setLogLevel(request.level, fromInt64(request.ttl_ms))
        if (!level) throw usage(`"${request.level}" is no log level: trace, debug, info, warn, error, fatal or silent`)
        return { level }
      }),
      GetEffectiveConfig: unary(async () => this.host.effectiveConfig()),
      CheckDisk: unary((request) => this.checkDisk(request.samples)),
      CheckPeers: unary(async (request) => ({ peers: await this.host.checkPeers(bounded(request.samples)) })),
      CheckClock: unary(async () => ({ wall_ms: Date.now() })),
      SetFaults: unary(async (request) => this.setFaults(request)),
      GetFaults: unary(async () => this.faults()),
    }
  }

  private node(group: string): ControlledNode {
    const node = this.host.nodes.nodesOf(group || DEFAULT_GROUP)[0]
    if (node) return node
    const all = this.host.nodes.all()
    if (all.length === 0) throw failure(grpc.status.UNAVAILABLE, 'E_UNREACHABLE', 'is starting', { retryable: true })
    const groups = [...new Set(all.map((n) => n.groupId))].join(', ')
    throw failure(
      grpc.status.NOT_FOUND,
      'E_NO_GROUP',
      `no group "${group || DEFAULT_GROUP}" on ${this.host.identity.peerId.address}; its groups: ${groups}`,
    )
  }

  private async nodeStatus(group: string): Promise<raftctl.v1.NodeStatus.$Properties> {
    const { identity, faults, uptimeMs, nameOf } = this.viewParts()
    const facts = await this.host.facts(group || DEFAULT_GROUP)
    return nodeStatusOf(this.node(group).status(), { identity, facts, nameOf, uptimeMs, faultsEnabled: faults.enabled })
  }

  private viewParts() {
    const { identity, faults } = this.host
    return { identity, faults, uptimeMs: this.host.uptimeMs(), nameOf: (peer: PeerId) => this.host.nameOf(peer) }
  }

  private async listGroups(): Promise<raftctl.v1.ListGroupsResponse.$Properties> {
    return {
      groups: this.host.nodes.all().map((node) => ({ group: node.groupId, peer_id: node.peerId.toString(), state: node.status().state })),
    }
  }

  private async probe(): Promise<raftctl.v1.ProbeResponse.$Properties> {
    const { identity, nodes } = this.host
    const all = nodes.all()
    const first = all[0]?.status()
    return {
      version: identity.version,
      cluster_id: identity.clusterId ?? '',
      boot_id: identity.bootId,
      incarnation: identity.incarnation,
      standing: first?.standing ?? '',
      name: identity.name,
      groups: [...new Set(all.map((node) => node.groupId))],
      log_empty: first ? first.lastId.index === 0 : true,
    }
  }

  private async leader(request: raftctl.v1.LeaderRequest): Promise<raftctl.v1.LeaderResponse.$Properties> {
    const node = this.node(request.group)
    if (request.confirm) await this.confirmed(node)
    const { leaderId, term, leaderForMs } = node.status()
    return {
      leader_id: peerText(leaderId),
      term,
      confirmed: request.confirm,
      ...(leaderForMs === null ? {} : { leader_for_ms: Math.round(leaderForMs) }),
    }
  }

  /** A round of answers from a quorum proves the leader, here or through it. */
  private async confirmed(node: ControlledNode): Promise<void> {
    const leads = node.isLeader()
    const status = await this.onExecutor<Status>((done) => node.readIndex(CONFIRM_TIMEOUT_MS, done))
    if (status.ok) return
    const leader = node.leaderId()
    if (leads) throw failure(grpc.status.UNAVAILABLE, 'E_NO_QUORUM', `${node.peerId} leads but no quorum confirms it: ${status.message}`)
    throw failure(grpc.status.UNAVAILABLE, 'E_NO_LEADER', `no leader could be confirmed from ${node.peerId}: ${status.message}`, {
      leader,
      retryable: true,
    })
  }

  private async configuration(request: raftctl.v1.ConfigurationRequest): Promise<raftctl.v1.ConfigurationResponse.$Properties> {
    const { configuration, configurationCommitted, leaderId, term } = this.node(request.group).status()
    if (request.committed && !configurationCommitted) {
      throw failure(grpc.status.FAILED_PRECONDITION, 'E_CONFIG_PENDING', 'the newest configuration is not committed yet', {
        leader: leaderId,
        retryable: true,
      })
    }
    return {
      membership: membershipOf(configuration, configurationCommitted, (peer) => this.host.nameOf(peer)),
      leader_id: peerText(leaderId),
      term,
    }
  }

  private transferTarget(node: ControlledNode, target: string): PeerId | null {
    if (target === '') return null
    const peer = PeerId.parse(target)
    if (!peer) throw usage(`"${target}" is no PeerId (host:port:idx:role)`)
    const { conf } = node.status().configuration
    if (!conf.contains(peer))
      throw failure(grpc.status.NOT_FOUND, 'E_NO_SUCH_NODE', `${peer} is not a voter of group ${node.groupId}: ${conf}`)
    return peer
  }

  /** The voter with the longest log that is not `exclude`. */
  private successor(node: ControlledNode, exclude: string): PeerId | null {
    if (exclude === '') return null
    const excluded = PeerId.parse(exclude)
    if (!excluded) throw usage(`"${exclude}" is no PeerId (host:port:idx:role)`)
    const { peers, configuration } = node.status()
    const fit = peers.filter(
      ({ peerId, consecutiveErrors }) => consecutiveErrors === 0 && !peerId.equals(excluded) && configuration.conf.contains(peerId),
    )
    fit.sort((a, b) => b.matchIndex - a.matchIndex)
    if (!fit[0]) throw failure(grpc.status.FAILED_PRECONDITION, 'E_NOT_CAUGHT_UP', `no voter besides ${excluded} is fit to lead`)
    return fit[0].peerId
  }

  /** Answers once the new leader is known here, with how long writes were paused. */
  private async transfer(
    group: string,
    timeoutMs: number,
    choose: (node: ControlledNode) => PeerId | null,
  ): Promise<raftctl.v1.TransferResponse.$Properties> {
    const node = this.node(group)
    const before = node.status()
    if (!node.isLeader()) {
      throw failure(grpc.status.FAILED_PRECONDITION, 'E_NO_LEADER', `${node.peerId} does not lead`, {
        leader: node.leaderId(),
        retryable: !node.leaderId().isEmpty,
      })
    }
    const target = choose(node)
    if (target?.equals(node.peerId)) {
      return {
        old_leader: node.peerId.toString(),
        new_leader: node.peerId.toString(),
        old_term: before.term,
        new_term: before.term,
        reason: 'leads already',
      }
    }
    const started = performance.now()
    const status = await this.onExecutor<Status>((done) => node.transferLeadershipTo(target, done))
    if (!status.ok) throw transferFailure(status, node.leaderId())
    const rest = Math.max(0, (timeoutMs || 10_000) - (performance.now() - started))
    const known = () => !node.leaderId().isEmpty && !node.leaderId().equals(node.peerId)
    const held = await new Promise<boolean>((resolve) => this.host.events.waitFor(known, rest, resolve))
    if (!held)
      throw failure(grpc.status.DEADLINE_EXCEEDED, 'E_OUTCOME_UNKNOWN', 'leadership was given up, no new leader is known yet', {
        applied: 'unknown',
      })
    const after = node.status()
    const chosen = target ? 'as asked' : 'longest log of the voters that answer'
    return {
      old_leader: node.peerId.toString(),
      new_leader: after.leaderId.toString(),
      old_term: before.term,
      new_term: after.term,
      paused_ms: performance.now() - started,
      reason: chosen,
    }
  }

  private subscribe(call: grpc.ServerWritableStream<raftctl.v1.SubscribeRequest, raftctl.v1.Event.$Properties>): void {
    const { group, types, since_seq } = call.request
    const wanted = ({ event }: LoggedEvent) =>
      (group === '' || event.groupId === group) &&
      (types.length === 0 || types.some((type) => event.name === type || event.name.startsWith(`${type}.`)))
    const send = (logged: LoggedEvent) => {
      if (!wanted(logged)) return
      const { seq, timeMs, event } = logged
      const fields = Object.fromEntries(Object.entries(eventFields(event)).map(([key, value]) => [key, String(value)]))
      call.write({ seq, time_ms: timeMs, name: event.name, group: event.groupId, peer_id: event.peerId.toString(), fields })
    }
    for (const logged of this.host.events.since(fromInt64(since_seq))) send(logged)
    const unsubscribe = this.host.events.subscribe(send)
    call.on('cancelled', unsubscribe)
    call.on('close', unsubscribe)
    call.on('error', unsubscribe)
  }

  private async checkDisk(samples: number): Promise<raftctl.v1.CheckDiskResponse.$Properties> {
    const { p50Ms, p99Ms, freeBytes, totalBytes } = await this.host.checkDisk(bounded(samples))
    return { p50_ms: p50Ms, p99_ms: p99Ms, free_bytes: freeBytes, total_bytes: totalBytes }
  }

  private setFaults(request: raftctl.v1.SetFaultsRequest): raftctl.v1.FaultsResponse.$Properties {
    const { faults } = this.host
    if (!faults.enabled) {
      throw failure(
        grpc.status.FAILED_PRECONDITION,
        'E_FAULTS_DISABLED',
        `${this.host.identity.peerId.address} was started without --enable-faults`,
      )
    }
    if (request.disk_delay_ms > 0) throw unimplemented('disk delays')
    for (const address of Object.values(request.dial_map)) {
      if (address !== '' && !PeerId.parse(address)) throw usage(`"${address}" in the dial map is no host:port`)
    }
    if (request.flip_group !== '' && !this.host.flipByte(request.flip_group))
      throw unimplemented(`flipping a byte in group "${request.flip_group}"`)
    faults.set({
      dialMap: request.dial_map,
      delayMs: request.delay_ms,
      partition: request.partition,
      heal: request.heal,
      ttlMs: fromInt64(request.ttl_ms),
    })
    return this.faults()
  }

  private faults(): raftctl.v1.FaultsResponse.$Properties {
    const { dialMap, delayMs, partition } = this.host.faults.settings
    return { dial_map: Object.fromEntries(dialMap), delay_ms: Object.fromEntries(delayMs), partition: [...partition] }
  }

  private onExecutor<T>(start: (done: (result: T) => void) => void): Promise<T> {
    return new Promise((resolve) => this.host.executor.post(() => start(resolve), 'control'))
  }
}

const DEFAULT_GROUP = 'kv'

/** An answer for every method of the definition; the real handlers replace theirs. */
function unsupportedMethods(): Handlers<(typeof Control)['methods']> {
  const handlers: Record<string, grpc.UntypedHandleCall> = {}
  for (const [name, { kind }] of Object.entries(Control.methods)) {
    const refusal = unimplemented(name)
    handlers[name] =
      kind === 'unary'
        ? (_call: unknown, callback: grpc.sendUnaryData<never>) => callback(refusal)
        : (call: grpc.ServerWritableStream<unknown, unknown>) => call.emit('error', refusal)
  }
  return handlers as Handlers<(typeof Control)['methods']>
}

function bounded(samples: number): number {
  return Math.min(Math.max(samples || 10, 1), 100)
}

/** A handler from a function that answers or throws what `failure` makes. */
function unary<Q, R>(answer: (request: Q) => Promise<R>): grpc.handleUnaryCall<Q, R> {
  return (call: UnaryCall<Q>, callback) => {
    Promise.resolve()
      .then(() => answer(call.request))
      .then(
        (response) => callback(null, response),
        (error: Failure | Error) => callback('code' in error ? error : failure(grpc.status.INTERNAL, 'E_INTERNAL', error.message)),
      )
  }
}

interface FailureContext {
  readonly leader?: PeerId
  readonly retryable?: boolean
  readonly applied?: 'no' | 'unknown'
}

function failure(code: grpc.status, name: string, message: string, context: FailureContext = {}): Failure {
  const { leader, retryable = false, applied = 'no' } = context
  return toGrpcError(
    code,
    { code: name, leaderHint: leader && !leader.isEmpty ? leader.toString() : undefined, retryable, applied },
    message,
  )
}

function usage(message: string): Failure {
  return failure(grpc.status.INVALID_ARGUMENT, 'E_USAGE', message)
}

function unimplemented(what: string): Failure {
  return failure(grpc.status.UNIMPLEMENTED, 'E_UNSUPPORTED', `this version does not offer ${what}`)
}

function transferFailure(status: Status, leader: PeerId): Failure {
  switch (status.code) {
    case ErrorCode.EBUSY:
      return failure(grpc.status.FAILED_PRECONDITION, 'E_CONFIG_PENDING', `leadership cannot be handed over now: ${status.message}`, {
        leader,
        retryable: true,
      })
    case ErrorCode.ERAFTTIMEDOUT:
    case ErrorCode.EHOSTUNREACH:
      return failure(grpc.status.FAILED_PRECONDITION, 'E_NOT_CAUGHT_UP', status.message, { leader })
    case ErrorCode.EPERM:
      return failure(grpc.status.FAILED_PRECONDITION, 'E_NO_LEADER', status.message, { leader, retryable: true })
    default:
      return failure(grpc.status.FAILED_PRECONDITION, 'E_NO_SUCH_NODE', status.message, { leader })
  }
}
