import { readdir } from 'node:fs/promises'
import type { Environment } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Node } from '../raft/node.js'
import type { PeerId } from '../raft/peer-id.js'
import type { ControlHost } from '../rpc/control-host.js'
import type { Recovery } from '../rpc/control-recovery.js'
import type { GroupFacts } from '../rpc/control-status.js'
import type { EventLog } from '../rpc/event-log.js'
import type { Faults } from '../rpc/faults.js'
import type { ProcessIdentity } from '../rpc/identity.js'
import type { NodeManager } from '../rpc/node-manager.js'
import { storagePaths } from '../storage/open-storage.js'
import { parseSegmentName } from '../storage/segment.js'
import { sizesOf } from './data-directory.js'
import type { GroupMember } from './group-member.js'
import { checkDisk, checkPeers } from './machine-checks.js'
import type { MemberNames } from './member-names.js'

const BY_PROGRAM = 'the groups of this process are started and stopped by its program'

export interface ProgramControlHostOptions {
  readonly identity: ProcessIdentity
  readonly nodes: NodeManager<Node>
  readonly events: EventLog
  readonly faults: Faults
  readonly names: MemberNames
  readonly environment: Environment
  readonly members: ReadonlyMap<string, GroupMember>
  readonly requestStop: ((graceMs: number) => void) | undefined
}

/** What raftctl's commands ask of a program that hosts groups of its own. What only `node start` knows is answered as unknown. */
export class ProgramControlHost implements ControlHost {
  readonly identity: ProcessIdentity
  readonly nodes: NodeManager<Node>
  readonly events: EventLog
  readonly faults: Faults
  private readonly startedAt = performance.now()

  constructor(private readonly options: ProgramControlHostOptions) {
    const { identity, nodes, events, faults } = options
    this.identity = identity
    this.nodes = nodes
    this.events = events
    this.faults = faults
  }

  get executor() {
    return this.options.environment.executor
  }

  uptimeMs(): number {
    return performance.now() - this.startedAt
  }

  /** Only the program sees its acknowledgements. */
  sinceLastAckMs(): number | null {
    return null
  }

  describeCommand(groupId: string, data: Buffer) {
    return this.options.members.get(groupId)?.describeCommand(data) ?? null
  }

  async logSegments(groupId: string): Promise<number> {
    const member = this.options.members.get(groupId)
    if (!member) return 0
    return (await readdir(storagePaths(member.directory).log)).filter((name) => parseSegmentName(name) !== null).length
  }

  async facts(groupId: string): Promise<GroupFacts> {
    const member = this.options.members.get(groupId)
    const { logBytes, dataBytes } = member ? await sizesOf(member.directory, null) : { logBytes: 0, dataBytes: 0 }
    return {
      dataDir: member?.directory ?? '',
      logBytes,
      dataBytes,
      syncP99Ms: null,
      machine: groupId,
      machineRevision: null,
      alarms: [],
      snapshotIntervalMs: member?.snapshotIntervalMs ?? 0,
      mixed: false,
    }
  }

  movedFrom(): readonly string[] {
    return []
  }

  nameOf(peer: PeerId): string {
    return this.options.names.nameOf(peer)
  }

  kindOf() {
    return null
  }

  learnName(peer: PeerId, name: string): void {
    this.options.names.learn(peer, name)
  }

  createdGroups(): [] {
    return []
  }

  /** Which groups run here, and with which machine, is for the program to say. */
  async createGroup() {
    return { status: Status.error(ErrorCode.EINVAL, BY_PROGRAM), created: false }
  }

  async removeGroup() {
    return { status: Status.error(ErrorCode.EINVAL, BY_PROGRAM), removed: false }
  }

  generationOf(groupId: string): number {
    return this.options.members.get(groupId)?.storage.identityStorage.generation ?? 0
  }

  async recordRecovery(groupId: string, recovery: Recovery): Promise<number> {
    const member = this.options.members.get(groupId)
    if (!member) throw new Error(`group ${groupId} is starting or stopping`)
    const { identityStorage } = member.storage
    const { generation } = recovery
    const recoveries = [...identityStorage.recoveries, { ...recovery }]
    const { status } = await member.ask<void>((done) => identityStorage.update({ generation, recoveries }, done))
    if (!status.ok) throw new Error(status.message)
    return generation
  }

  shutdown(graceMs: number): void {
    this.options.requestStop?.(graceMs)
  }

  setLogLevel(): string | null {
    return null
  }

  effectiveConfig() {
    const values = { peer: this.identity.peerId.toString(), name: this.identity.name, 'cluster-id': this.identity.clusterId ?? '' }
    return { values, origins: Object.fromEntries(Object.keys(values).map((key) => [key, 'program'])) }
  }

  async checkDisk(samples: number) {
    const [member] = this.options.members.values()
    if (!member) throw new Error('no group runs here')
    return checkDisk(member.directory, samples)
  }

  checkPeers(samples: number) {
    return checkPeers(this.nodes.all(), this.options.environment.transport, samples)
  }

  mark(_groupId: string, done: (status: Status) => void): void {
    done(Status.error(ErrorCode.EINVAL, 'the machine of this program knows no marks'))
  }

  hashAt(_groupId: string, _index: number, done: (status: Status) => void): void {
    done(Status.error(ErrorCode.EINVAL, 'the machine of this program knows no marks'))
  }

  flipByte(): null {
    return null
  }
}
