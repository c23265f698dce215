import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../generated/raftctl.js'
import type { Status } from '../raft/errors.js'
import type { PeerId } from '../raft/peer-id.js'
import { fromInt64 } from '../raft/types.js'
import { failure, nodeOf, onExecutor, unary, unimplemented, usage } from './control-common.js'
import { consistencyHandlers } from './control-consistency.js'
import { Control } from './control-definition.js'
import { faultHandlers } from './control-faults.js'
import { groupHandlers } from './control-groups.js'
import type { ControlHost, ControlledNode } from './control-host.js'
import { leadershipHandlers } from './control-leadership.js'
import { logHandlers } from './control-log.js'
import { membershipHandlers } from './control-membership.js'
import { recoveryHandlers } from './control-recovery.js'
import { SnapshotControl } from './control-snapshot.js'
import { membershipOf, nodeStatusOf, peerText } from './control-status.js'
import { eventFields, type LoggedEvent } from './event-log.js'
import type { Handlers } from './grpc.js'
import type { ServerStreamCall, UnaryDone } from './grpc-call.js'
import { SnapshotInfos } from './snapshot-info.js'

export type { ControlHost, ControlledNode } from './control-host.js'

const CONFIRM_TIMEOUT_MS = 2000

/**
 * raftctl.v1.Control: what administrators ask of a node. Reads answer on every member, also without a leader.
 * Methods that this version does not offer answer UNIMPLEMENTED with E_UNSUPPORTED.
 */
export class ControlService {
  private readonly snapshotInfos: SnapshotInfos
  private readonly snapshots: SnapshotControl

  constructor(private readonly host: ControlHost) {
    this.snapshotInfos = new SnapshotInfos((start) => onExecutor(host, start))
    this.snapshots = new SnapshotControl(host, this.snapshotInfos)
  }

  /** For RpcServer.addGrpcService. */
  get handlers(): Handlers<(typeof Control)['methods']> {
    return {
      ...unsupportedMethods(),
      ...leadershipHandlers(this.host),
      ...logHandlers(this.host),
      ...consistencyHandlers(this.host),
      ...this.snapshots.handlers,
      ...membershipHandlers(this.host),
      ...recoveryHandlers(this.host),
      ...faultHandlers(this.host),
      ...groupHandlers(this.host),
      GetNodeStatus: unary((request) => this.nodeStatus(request.group)),
      Probe: unary(() => this.probe()),
      GetLeader: unary((request) => this.leader(request)),
      GetConfiguration: unary((request) => this.configuration(request)),
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
    }
  }

  private async nodeStatus(group: string): Promise<raftctl.v1.NodeStatus.$Properties> {
    const { identity, faults, ...view } = this.viewParts()
    const node = nodeOf(this.host, group)
    const facts = await this.host.facts(node.groupId)
    const generation = this.host.generationOf(node.groupId)
    const snapshot = await this.snapshotInfos.newest(node)
    return {
      ...nodeStatusOf(node.status(), { identity, facts, generation, ...view, faultsEnabled: faults.enabled }),
      ...(snapshot ? { snapshot } : {}),
    }
  }

  private viewParts() {
    const { identity, faults } = this.host
    const nameOf = (peer: PeerId) => this.host.nameOf(peer)
    const kindOf = (peer: PeerId) => this.host.kindOf(peer)
    return { identity, faults, uptimeMs: this.host.uptimeMs(), nameOf, kindOf }
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
      last_log_index: first?.lastId.index ?? 0,
      mixed: first ? (await this.host.facts(first.groupId)).mixed : false,
    }
  }

  private async leader(request: raftctl.v1.LeaderRequest): Promise<raftctl.v1.LeaderResponse.$Properties> {
    const node = nodeOf(this.host, request.group)
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
    const status = await onExecutor<Status>(this.host, (done) => node.readIndex(CONFIRM_TIMEOUT_MS, done))
    if (status.ok) return
    const leader = node.leaderId()
    if (leads) throw failure(grpc.status.UNAVAILABLE, 'E_NO_QUORUM', `${node.peerId} leads but no quorum confirms it: ${status.message}`)
    throw failure(grpc.status.UNAVAILABLE, 'E_NO_LEADER', `no leader could be confirmed from ${node.peerId}: ${status.message}`, {
      leader,
      retryable: true,
    })
  }

  private async configuration(request: raftctl.v1.ConfigurationRequest): Promise<raftctl.v1.ConfigurationResponse.$Properties> {
    const status = nodeOf(this.host, request.group).status()
    const { configurationCommitted, leaderId, term } = status
    if (request.committed && !configurationCommitted) {
      throw failure(grpc.status.FAILED_PRECONDITION, 'E_CONFIG_PENDING', 'the newest configuration is not committed yet', {
        leader: leaderId,
        retryable: true,
      })
    }
    return {
      membership: membershipOf(status, (peer) => this.host.nameOf(peer)),
      leader_id: peerText(leaderId),
      term,
    }
  }

  private subscribe(call: ServerStreamCall<raftctl.v1.SubscribeRequest, raftctl.v1.Event.$Properties>): void {
    const { group, types, since_seq, once } = call.request
    // At once: whoever comes back learns from it whether this is still the same process.
    call.sendHeaders()
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
    if (once) return void call.end()
    const unsubscribe = this.host.events.subscribe(send)
    call.on('cancelled', unsubscribe)
    call.on('close', unsubscribe)
  }

  private async checkDisk(samples: number): Promise<raftctl.v1.CheckDiskResponse.$Properties> {
    const { p50Ms, p99Ms, freeBytes, totalBytes } = await this.host.checkDisk(bounded(samples))
    return { p50_ms: p50Ms, p99_ms: p99Ms, free_bytes: freeBytes, total_bytes: totalBytes }
  }
}

/** An answer for every method of the definition; the real handlers replace theirs. */
function unsupportedMethods(): Handlers<(typeof Control)['methods']> {
  const handlers: Record<string, unknown> = {}
  for (const [name, { kind }] of Object.entries(Control.methods)) {
    const refusal = unimplemented(name)
    handlers[name] =
      kind === 'unary'
        ? (_call: unknown, done: UnaryDone<never>) => done(refusal)
        : (call: ServerStreamCall<unknown, unknown>) => call.fail(refusal)
  }
  return handlers as Handlers<(typeof Control)['methods']>
}

function bounded(samples: number): number {
  return Math.min(Math.max(samples || 10, 1), 100)
}
