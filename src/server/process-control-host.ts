import { readdir } from 'node:fs/promises'
import { describerOf } from '../machines/describe.js'
import type { CommandText, HashDone } from '../machines/machine.js'
import type { Environment } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { PeerId } from '../raft/peer-id.js'
import type { LogIndex } from '../raft/types.js'
import type { ControlHost, HostedGroup } from '../rpc/control-host.js'
import type { Recovery } from '../rpc/control-recovery.js'
import type { GroupFacts } from '../rpc/control-status.js'
import type { EventLog } from '../rpc/event-log.js'
import type { Faults } from '../rpc/faults.js'
import type { ProcessIdentity } from '../rpc/identity.js'
import type { PeerKind } from '../rpc/peer-kinds.js'
import { storagePaths } from '../storage/open-storage.js'
import { parseSegmentName } from '../storage/segment.js'
import { describeConfiguration, LOG_LEVELS, type NodeConfiguration } from './configuration.js'
import type { DataDirectory } from './data-directory.js'
import type { GroupHost } from './group-host.js'
import type { Logger } from './logging.js'
import { checkDisk, checkPeers } from './machine-checks.js'
import type { MemberNames } from './member-names.js'
import type { Metrics } from './metrics.js'
import type { Peers } from './peers.js'
import { groupProblem, type RunTimeGroups } from './run-time-groups.js'

const NO_MARKS = Status.error(ErrorCode.EINVAL, 'this member does not run that group')

export interface ProcessControlHostOptions {
  readonly configuration: NodeConfiguration
  readonly environment: Environment
  readonly identity: ProcessIdentity
  readonly nodes: ControlHost['nodes']
  readonly events: EventLog
  readonly faults: Faults
  readonly names: MemberNames
  readonly peers: Peers
  readonly metrics: Metrics
  readonly log: Logger
  readonly directory: () => DataDirectory | null
  readonly groupOf: (groupId: string) => GroupHost | null
  /** Null until the directory is open. */
  readonly runTimeGroups: () => RunTimeGroups | null
  readonly requestStop: (graceMs: number) => void
}

/** What the control service asks of this process. */
export class ProcessControlHost implements ControlHost {
  private readonly startedAt = performance.now()
  private levelTimer: NodeJS.Timeout | null = null

  constructor(private readonly options: ProcessControlHostOptions) {}

  get identity() {
    return this.options.identity
  }

  get nodes() {
    return this.options.nodes
  }

  get executor() {
    return this.options.environment.executor
  }

  get events() {
    return this.options.events
  }

  get faults() {
    return this.options.faults
  }

  uptimeMs(): number {
    return performance.now() - this.startedAt
  }

  sinceLastAckMs(groupId: string): number | null {
    const at = this.options.groupOf(groupId)?.machine.lastAcknowledgedAt ?? null
    return at === null ? null : this.options.environment.clock.now() - at
  }

  describeCommand(groupId: string, data: Buffer): CommandText | null {
    const group = this.options.groupOf(groupId)
    return group && describerOf(group.machine.kind)(data)
  }

  async logSegments(groupId: string): Promise<number> {
    const group = this.options.groupOf(groupId)
    if (!group) return 0
    const { log } = storagePaths(group.directory)
    return (await readdir(log)).filter((name) => parseSegmentName(name) !== null).length
  }

  async facts(groupId: string): Promise<GroupFacts> {
    const { configuration, metrics, directory, groupOf } = this.options
    const group = groupOf(groupId)
    const dataDir = group?.directory ?? configuration.dataDir
    const { logBytes, dataBytes } = (await directory()?.sizes(dataDir)) ?? { logBytes: 0, dataBytes: 0 }
    const { machine, mixed } = group?.configuration ?? configuration
    return {
      dataDir,
      logBytes,
      dataBytes,
      syncP99Ms: metrics.syncP99Ms,
      machine,
      machineRevision: group?.machine.revision ?? null,
      alarms: group?.alarms ?? [],
      snapshotIntervalMs: configuration.snapshotIntervalMs,
      mixed,
    }
  }

  kindOf(peer: PeerId): PeerKind | null {
    return this.options.peers.kindOf(peer)
  }

  movedFrom(groupId: string): readonly string[] {
    return this.options.groupOf(groupId)?.movedFrom ?? []
  }

  nameOf(peer: PeerId): string {
    return this.options.names.nameOf(peer)
  }

  async recordRecovery(groupId: string, recovery: Recovery): Promise<number> {
    const group = this.options.groupOf(groupId)
    if (!group) throw new Error(`group ${groupId} is starting or stopping`)
    const generation = await group.recordRecovery(recovery)
    this.options.log.warn({ ...recovery }, 'members.set-by-hand')
    return generation
  }

  createdGroups(): readonly HostedGroup[] {
    return this.options.runTimeGroups()?.list() ?? []
  }

  async createGroup(record: Omit<HostedGroup, 'problem'>): Promise<{ status: Status; created: boolean }> {
    const { configuration } = this.options
    const refuse = (code: ErrorCode, message: string) => ({ status: Status.error(code, message), created: false })
    const problem = groupProblem(record.group, record.machine)
    if (problem !== null) return refuse(ErrorCode.EINVAL, problem)
    if (record.group === configuration.group)
      return refuse(ErrorCode.EEXIST, `${record.group} is the group that ${configuration.name} was started with`)
    if (configuration.mixed)
      return refuse(ErrorCode.EPERM, `${configuration.name} takes braft nodes (--mixed): it hosts the group it was started with alone`)
    return (await this.options.runTimeGroups()?.create(record)) ?? refuse(ErrorCode.EAGAIN, 'is starting')
  }

  async removeGroup(groupId: string, uid: string): Promise<{ status: Status; removed: boolean }> {
    const { name, group } = this.options.configuration
    const refuse = (code: ErrorCode, message: string) => ({ status: Status.error(code, message), removed: false })
    if (groupId === group)
      return refuse(ErrorCode.EINVAL, `${group} is the group that ${name} was started with: it goes with the node and its directory`)
    return (await this.options.runTimeGroups()?.remove(groupId, uid)) ?? refuse(ErrorCode.EAGAIN, 'is starting')
  }

  generationOf(groupId: string): number {
    return this.options.groupOf(groupId)?.generation ?? 0
  }

  learnName(peer: PeerId, name: string): void {
    this.options.names.learn(peer, name)
  }

  shutdown(graceMs: number): void {
    this.options.requestStop(graceMs)
  }

  setLogLevel(level: string, ttlMs: number): string | null {
    const { log, configuration } = this.options
    if (!LOG_LEVELS.some((known) => known === level)) return null
    if (this.levelTimer) clearTimeout(this.levelTimer)
    this.levelTimer = ttlMs > 0 ? setTimeout(() => (log.level = configuration.logLevel), ttlMs).unref() : null
    log.level = level
    return level
  }

  effectiveConfig(): { values: Record<string, string>; origins: Record<string, string> } {
    const { configuration, identity } = this.options
    const values = { ...describeConfiguration(configuration), 'cluster-id': identity.clusterId ?? '' }
    return { values, origins: Object.fromEntries(Object.keys(values).map((key) => [key, 'flag'])) }
  }

  checkDisk(samples: number) {
    return checkDisk(this.options.configuration.dataDir, samples)
  }

  checkPeers(samples: number) {
    return checkPeers(this.nodes.all(), this.options.environment.transport, samples)
  }

  mark(groupId: string, done: (status: Status, index?: LogIndex) => void): void {
    const group = this.options.groupOf(groupId)
    if (group) group.machine.mark(done)
    else done(NO_MARKS)
  }

  hashAt(groupId: string, index: LogIndex, done: HashDone): void {
    const group = this.options.groupOf(groupId)
    if (group) group.machine.stateMachine.hashAt(index, done)
    else done(NO_MARKS)
  }

  flipByte(groupId: string): boolean | null {
    const group = this.options.groupOf(groupId)
    return group ? group.machine.stateMachine.spoil() : null
  }
}
