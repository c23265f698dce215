import { createHash } from 'node:crypto'
import type { HostedMachine } from '../machines/machine.js'
import type { Environment, FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { InstallTasks } from '../raft/install-tasks.js'
import { Node } from '../raft/node.js'
import type { IdentityStorage } from '../raft/storage.js'
import type { AskStanding } from '../raft/survey.js'
import type { Recovery } from '../rpc/control-recovery.js'
import type { Faults } from '../rpc/faults.js'
import type { ProcessIdentity } from '../rpc/identity.js'
import { askStanding } from '../rpc/raft-stat-reader.js'
import { manualClusterId } from '../storage/cluster-id.js'
import type { Removal } from '../storage/identity-file.js'
import { type NodeStorage, openStorage } from '../storage/open-storage.js'
import type { NodeConfiguration } from './configuration.js'
import { hostMachine } from './hosted-machine.js'
import { StartError } from './start-error.js'

/** How long a stopping node waits for answers of the leader. */
const DRAIN_TIMEOUT_MS = 1000
/** braft's, for leaders that have several requests under way at a time. */
const APPEND_CACHE_SIZE = 8

export interface GroupHostOptions {
  /** Where the group keeps its files. */
  readonly directory: string
  readonly configuration: NodeConfiguration
  readonly environment: Environment
  readonly fileSystem: FileSystem
  readonly identity: ProcessIdentity
  readonly faults: Faults
  /** Of all groups in this process. */
  readonly installTasks: InstallTasks
  /** Of the node's start: the process is who its directory says. Other groups lie beside it and say nothing of that. */
  readonly isHome: boolean
}

/**
 * One group of this process: its storages, its node, and its machine with what serves it.
 *
 * The node can be reached by its peers while it starts, so that founders can say hello to each other.
 */
export class GroupHost {
  readonly node: Node
  readonly machine: HostedMachine
  private isShort = false
  private readonly storage: NodeStorage
  /** The identity storage, once it was read. */
  private known: NodeStorage['identityStorage'] | null = null

  constructor(private readonly options: GroupHostOptions) {
    const { directory, configuration, environment, fileSystem, identity, faults } = options
    const { executor, clock, random } = environment
    const { machine } = configuration
    this.node = new Node(configuration.group, configuration.peerId)
    this.machine = hostMachine(machine, { node: this.node, environment, identity, faults })
    this.storage = openStorage({
      fileSystem,
      executor,
      clock,
      random,
      directory,
      peerId: configuration.peerId,
      clusterId: identity.clusterId,
      name: configuration.name,
      group: configuration.group,
      machine,
      moved: configuration.moved,
      adopt: configuration.adopt,
      sync: configuration.sync,
    })
  }

  /**
   * Recovers and founds or joins the group; `reachable` is called when peers may speak to the node, and answers false where another
   * one is in its place. Throws StartError.
   */
  async start(reachable: (node: Node) => boolean): Promise<void> {
    const { configuration, environment, identity } = this.options
    const status = await new Promise<Status>((resolve) =>
      environment.executor.post(() => {
        if (!reachable(this.node))
          return resolve(Status.error(ErrorCode.EEXIST, `a node of group ${configuration.group} is in this process already`))
        this.node.init(
          {
            environment,
            initialConf: configuration.initialConf,
            fsm: this.machine.stateMachine,
            logStorage: this.storage.logStorage,
            metaStorage: this.storage.metaStorage,
            snapshotStorage: this.storage.snapshotStorage,
            snapshotIntervalMs: configuration.snapshotIntervalMs,
            snapshotThrottleBytesPerSecond: configuration.snapshotBytesPerSecond,
            installTasks: this.options.installTasks,
            identityStorage: this.introducing(this.storage.identityStorage),
            standing: configuration.standing,
            bootId: identity.bootId,
            electionTimeoutMs: configuration.electionTimeoutMs,
            ...(configuration.mixed ? { askStanding: this.askStanding(), appendCacheSize: APPEND_CACHE_SIZE } : {}),
            leaderLease: configuration.leaderLease,
            maxClockDriftMs: configuration.maxClockDriftMs,
            priority: configuration.priority,
            witnessToLeader: configuration.witnessToLeader,
          },
          resolve,
        )
      }, 'node init'),
    )
    if (!status.ok) throw this.startError(status)
    this.refuseOccupied()
    if (this.options.isHome) await this.deriveClusterId()
  }

  /** PeerIds of the member that this directory is of, as long as the group does not know it by its present address. */
  get movedFrom(): readonly string[] {
    const { movedFrom } = this.known ?? { movedFrom: [] }
    return movedFrom.length > 0 && this.node.status().configuration.knows(this.configuration.peerId) ? [] : movedFrom
  }

  /** At the address of another member it would be taken for that one. */
  private refuseOccupied(): void {
    const { configuration, standing } = this.node.status()
    const { peerId, dataDir } = this.configuration
    const { movedFrom } = this.storage.identityStorage
    if (standing !== 'rebuilding' || movedFrom.length === 0 || !configuration.knows(peerId)) return
    throw new StartError(
      'E_DATA_DIR',
      `${dataDir} belongs to member ${movedFrom.at(-1)}, and ${peerId.address} is another member of its group: ${configuration.conf}`,
      'Give it an address that no member has, or move that member first: raftctl member set NAME --address HOST:PORT.',
    )
  }

  /** What an operator must look at beyond what the engine says: NOSPACE, and UNSAFESYNC where writes are acknowledged too early. */
  get alarms(): readonly string[] {
    const { sync } = this.configuration
    return [...(this.isShort ? ['NOSPACE'] : []), ...(sync.when === 'immediately' ? [] : ['UNSAFESYNC'])]
  }

  /** Of the disk that the directory lies on. */
  setDiskSpace(state: 'short' | 'ample'): void {
    this.isShort = state === 'short'
    this.node.setDiskSpace(state)
  }

  /** How often its members were set by hand, and once more; 0 until its directory was read. */
  get generation(): number {
    return this.known?.generation ?? 0
  }

  get configuration(): NodeConfiguration {
    return this.options.configuration
  }

  get directory(): string {
    return this.options.directory
  }

  private askStanding(): AskStanding {
    const { configuration, environment, faults } = this.options
    const context = { executor: environment.executor, faults }
    return (peer, timeoutMs, done) => askStanding(context, configuration.group, { peer, timeoutMs }, done)
  }

  /** Makes durable that this directory takes part in nothing any more. */
  async remember(removal: Removal): Promise<void> {
    const { executor } = this.options.environment
    const { identityStorage } = this.storage
    const status = await new Promise<Status>((resolve) =>
      executor.post(() => identityStorage.update({ removed: removal }, resolve), 'node removed'),
    )
    if (!status.ok) throw this.startError(status)
  }

  /** Makes durable, with a new generation, that the members were set by hand. */
  async recordRecovery(recovery: Recovery): Promise<number> {
    const { environment, identity } = this.options
    const { identityStorage } = this.storage
    const { generation } = recovery
    const recoveries = [...identityStorage.recoveries, { ...recovery }]
    const status = await new Promise<Status>((resolve) =>
      environment.executor.post(() => identityStorage.update({ generation, recoveries }, resolve), 'recovery'),
    )
    if (!status.ok) throw new Error(status.message)
    if (this.options.isHome) identity.setDirectory({ incarnation: identity.incarnation, generation })
    return generation
  }

  /** A leader hands over first. Every call still waiting is answered. */
  async stop(): Promise<void> {
    const { executor } = this.options.environment
    await new Promise<Status>((resolve) => executor.post(() => this.node.shutdown(resolve), 'node shutdown'))
    // What was passed on to the leader is answered by it, also after this node has stopped.
    await new Promise<void>((resolve) => executor.post(() => this.machine.drain(DRAIN_TIMEOUT_MS, resolve), 'drain'))
    this.machine.close()
  }

  /** The process introduces itself by what the directory says, as soon as that is known. */
  private introducing(storage: NodeStorage['identityStorage']): IdentityStorage {
    const { identity } = this.options
    return {
      load: (standing, done) =>
        storage.load(standing, (status, loaded) => {
          if (loaded) {
            this.known = storage
            if (this.options.isHome) identity.setDirectory({ incarnation: loaded.incarnation, generation: storage.generation })
            if (storage.clusterId) identity.adoptClusterId(storage.clusterId)
          }
          done(status, loaded)
        }),
      save: (next, done) => storage.save(next, done),
    }
  }

  /** A cluster that was not given an id derives one from its founders, which are known by now. */
  private async deriveClusterId(): Promise<void> {
    const { clusterId, identity } = this.storage.identityStorage
    const { founders } = identity
    if (clusterId || !founders) return
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
    await this.keepClusterId(manualClusterId({ bootstrapToken: this.options.configuration.bootstrapToken, founders, sha256 }))
  }

  /** The id is durable before it is told. Throws StartError. */
  async keepClusterId(clusterId: string): Promise<void> {
    const { environment, identity } = this.options
    const { identityStorage } = this.storage
    const status = await new Promise<Status>((resolve) =>
      environment.executor.post(() => identityStorage.update({ clusterId }, resolve), 'cluster id'),
    )
    if (!status.ok) throw this.startError(status)
    identity.adoptClusterId(clusterId)
  }

  private startError(status: Status): StartError {
    const { dataDir, peerId } = this.options.configuration
    const { refusal } = this.storage.identityStorage
    if (refusal === 'cluster')
      return new StartError('E_CLUSTER_MISMATCH', status.message, 'Give the directory of this cluster with --data.')
    if (refusal === 'peer')
      return new StartError(
        'E_DATA_DIR',
        status.message,
        'Give the directory of this member with --data, or correct --listen or --advertise. If its address changed: add --moved.',
      )
    switch (status.code) {
      case ErrorCode.ECORRUPT:
        return new StartError(
          'E_CORRUPT',
          `${dataDir} is damaged: ${status.message}`,
          `Move ${dataDir} aside and start this node with --rebuild: it fetches everything from the others, who go on without it.`,
        )
      case ErrorCode.EREBUILD:
        return new StartError(
          'E_NEEDS_REBUILD',
          `${dataDir} is empty, but the cluster remembers ${peerId} with data: it may not vote as if it were new (${status.message})`,
          'Restore the directory from its disk or a copy. If it is lost, start this node once with --rebuild: it fetches everything from the others and votes only after that.',
        )
      case ErrorCode.ENOSPC:
        return new StartError('E_NO_SPACE', `no space left for ${dataDir}: ${status.message}`, 'Free some space on that disk.')
      case ErrorCode.EACCES:
        return new StartError(
          'E_DATA_DIR',
          `${dataDir} cannot be used: ${status.message}`,
          'Give a directory that this user can write to with --data.',
        )
      default:
        return new StartError('E_DATA_DIR', `${dataDir} cannot be opened: ${status}`, 'Check the disk; the message names the file.')
    }
  }
}
