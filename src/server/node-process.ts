import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { FileSystem } from '../raft/environment.js'
import type { RaftEvent } from '../raft/events.js'
import { InstallTasks } from '../raft/install-tasks.js'
import type { Node } from '../raft/node.js'
import type { NodeStatus } from '../raft/node-status.js'
import { callGuard } from '../rpc/call-guard.js'
import { EventLog } from '../rpc/event-log.js'
import { Faults } from '../rpc/faults.js'
import { ProcessIdentity } from '../rpc/identity.js'
import { NodeManager } from '../rpc/node-manager.js'
import { PeerService } from '../rpc/peer-service.js'
import { ListenError, RpcServer } from '../rpc/server.js'
import { checksum as crc, murmurChecksum } from '../storage/checksum.js'
import type { Removal } from '../storage/identity-file.js'
import { describeSync } from '../storage/log-sync.js'
import { NodeFileSystem } from '../storage/node-file-system.js'
import { SpaceMonitor } from '../storage/space-monitor.js'
import type { NodeConfiguration } from './configuration.js'
import { checkDataDirectory, type DataDirectory, placeOfGroup, refuseBraft, takeDataDirectory } from './data-directory.js'
import { type ProductionEnvironment, productionEnvironment } from './environment.js'
import { EventLoopExecutor } from './executor.js'
import { faultyFileSystem } from './faulty-file-system.js'
import { GroupHost } from './group-host.js'
import { configurationFor, learnClusterId, refuseOtherMachine, removedError } from './joining.js'
import { type Logger, logEvent } from './logging.js'
import { watchEventLoop } from './loop-monitor.js'
import { MemberNames } from './member-names.js'
import { Metrics } from './metrics.js'
import { addNodeServices } from './node-services.js'
import { Peers } from './peers.js'
import { ProcessControlHost } from './process-control-host.js'
import { RunTimeGroups } from './run-time-groups.js'
import { StartError } from './start-error.js'
import { timedFileSystem } from './timed-file-system.js'

/** How long running calls may take when the node stops, unless the caller says otherwise. */
const STOP_DEADLINE_MS = 2000
/** Who knows the cluster answers soon; where nobody does, as after braft, a member goes on without. */
const LEARN_MS = 60_000

/** What a node asks of the process around it. */
export interface ProcessRequests {
  /** To be stopped well. */
  requestStop(graceMs: number): void
  /** Whether a directory that braft wrote may be taken over: throws StartError when not. Nothing was written to it yet. */
  readonly checkAdoption: (configuration: NodeConfiguration) => Promise<void>
  /** To be stopped because it may not go on. */
  fail(error: StartError): void
}

/**
 * A node: one port, one data directory, the Raft group it was started with, and those that were created in it since.
 *
 * Owns every part of the process and their order: the port first (peers may say hello while the disk is still read), the
 * directory's lock, the storages, the node; and backwards when it stops. A node that fails later (its disk, its log) stays
 * up in state ERROR and says so: it takes no part any more, and whoever looks sees why.
 */
export class NodeProcess {
  private readonly identity: ProcessIdentity
  private readonly nodes = new NodeManager<Node>()
  private readonly events = new EventLog()
  private readonly faults: Faults
  private readonly names: MemberNames
  private readonly metrics: Metrics
  private readonly peers: Peers
  private readonly environment: ProductionEnvironment
  private readonly peerService: PeerService
  private readonly server: RpcServer
  private directory: DataDirectory | null = null
  private group: GroupHost | null = null
  private runTimeGroups: RunTimeGroups | null = null
  private space: SpaceMonitor | null = null
  private stopWatchingLoop: () => void = () => {}
  private readonly giveUp = new AbortController()
  private stopping: Promise<void> | null = null
  private learning: Promise<void> = Promise.resolve()
  private removal: Removal | null = null

  constructor(
    private readonly configuration: NodeConfiguration,
    private readonly log: Logger,
    private readonly requests: ProcessRequests,
  ) {
    const { requestStop } = requests
    const { peerId, name, clusterId, faultsEnabled } = configuration
    const checksum = configuration.checksum === 'murmur32' ? murmurChecksum : crc
    this.identity = new ProcessIdentity(peerId, name, randomBytes(16).toString('hex'), packageVersion(), clusterId)
    this.faults = new Faults(faultsEnabled)
    this.names = new MemberNames(configuration.names)
    this.metrics = new Metrics(() => statusesOf(this.nodes))
    const executor = new EventLoopExecutor()
    const { identity, faults, nodes, names, metrics } = this
    const onName = (peer: Parameters<MemberNames['learn']>[0], learned: string) => names.learn(peer, learned)
    const observe = (event: RaftEvent) => this.observe(event)
    this.peers = new Peers({ configuration, executor, checksum, identity, faults, onName, observe })
    this.environment = productionEnvironment({ executor, transport: this.peers.transport, observer: { event: observe }, faults, checksum })
    const onAlive = (peer: typeof peerId) => this.peers.noteAlive(peer)
    this.peerService = new PeerService({ nodes, executor, checksum, identity, faults, onName, onAlive })
    this.server = new RpcServer({ guard: callGuard({ identity, onCall: (...call) => metrics.observeCall(...call) }) })
    const groupOf = (groupId: string) => (groupId === configuration.group ? this.group : (this.runTimeGroups?.of(groupId) ?? null))
    const runTimeGroups = () => this.runTimeGroups
    const { environment, events, peers } = this
    const directory = () => this.directory
    const host = new ProcessControlHost({
      configuration,
      environment,
      identity,
      nodes,
      events,
      faults,
      names,
      peers,
      metrics,
      log,
      directory,
      groupOf,
      runTimeGroups,
      requestStop,
    })
    const isStarting = (groupId: string) => this.group === null && groupId === configuration.group
    const { peerService } = this
    addNodeServices(this.server, {
      configuration,
      host,
      nodes,
      executor,
      checksum,
      faults,
      peers,
      peerService,
      metrics,
      groupOf,
      isStarting,
    })
  }

  /** Resolves once the node takes part in its group. Throws StartError; nothing is left running or behind then. */
  async start(): Promise<void> {
    const { configuration, log, requests } = this
    const { listen, dataDir, electionTimeoutMs } = configuration
    try {
      await checkDataDirectory(dataDir)
      await this.listen()
      log.info(
        { listen: `${listen.host}:${listen.port}`, pid: process.pid, version: this.identity.version, data: dataDir },
        'process.listening',
      )
      this.warnOfSync()
      if (configuration.adopt) await requests.checkAdoption(configuration)
      this.directory = await takeDataDirectory(dataDir)
      this.stopWatchingLoop = watchEventLoop(electionTimeoutMs / 2, (gapMs) => log.warn({ gapMs: Math.round(gapMs) }, 'process.stalled'))
      const effective = await this.meetCluster()
      if (!effective) return
      this.names.keepIn(join(dataDir, 'raftctl', 'members.json'))
      const { environment, identity, faults } = this
      const disk = new NodeFileSystem(environment.executor)
      const fileSystem = timedFileSystem(faults.enabled ? faultyFileSystem(disk, faults, environment.executor) : disk, (ms) =>
        this.metrics.observeSync(ms),
      )
      const installTasks = new InstallTasks(configuration.snapshotCopiesMax)
      const shared = { environment, fileSystem, identity, faults, installTasks }
      this.group = new GroupHost({ ...effective, ...shared, isHome: true })
      await this.group.start((node) => this.nodes.add(node))
      this.runTimeGroups = new RunTimeGroups({ ...shared, configuration, nodes: this.nodes, log })
      this.watchSpace(fileSystem)
      // Their founders may be missing, and nobody waits for those.
      void this.runTimeGroups.openAll()
      log.info({ clusterId: this.identity.clusterId, incarnation: this.identity.incarnation }, 'process.ready')
      this.sayIfMoved()
      this.learning = settled(this.learnClusterIdOfOthers(this.group), log, 'the cluster id could not be learnt')
      void this.metrics.load()
    } catch (error) {
      await this.stop(0)
      throw error instanceof StartError
        ? error
        : new StartError('E_INTERNAL', (error as Error).message, 'Report this with the log.', { cause: error })
    }
  }

  private warnOfSync(): void {
    const { sync } = this.configuration
    if (sync.when === 'immediately') return
    const lost = 'writes that were acknowledged are lost when members lose power, and the group does not notice'
    this.log.warn({ sync: describeSync(sync), lost }, 'process.unsafe-sync')
  }

  /** The group calls it where it was: it waits to be called here. */
  private sayIfMoved(): void {
    const from = this.group?.movedFrom.at(-1)
    const { name, peerId } = this.configuration
    if (from === undefined) return
    const command = `raftctl member set ${name === peerId.address ? from.split(':').slice(0, -2).join(':') : name} --address ${peerId.address}`
    this.log.warn({ from, to: peerId.toString(), command }, 'node.moved')
  }

  /** What the start means for the directory, and which cluster an empty one joins; null when the node was stopped meanwhile. */
  private async meetCluster(): Promise<{ readonly directory: string; readonly configuration: NodeConfiguration } | null> {
    const { configuration, identity, giveUp, log } = this
    const { join: members, clusterId: expected, dataDir, group, mixed } = configuration
    const { directory, found } = await placeOfGroup(dataDir, group, crc)
    if (found === null && !configuration.adopt) await refuseBraft(directory, group)
    if (found === 'damaged') return { directory, configuration }
    if (found) refuseOtherMachine(configuration, found)
    if (found?.removed) throw removedError(configuration, found.removed)
    if (found === null && members.length > 0) {
      const learned = await learnClusterId(members, { expected, mixed, signal: giveUp.signal, log })
      if (learned === null) return null
      if (learned.clusterId !== null) identity.adoptClusterId(learned.clusterId)
    }
    return { directory, configuration: configurationFor(configuration, found) }
  }

  /** Whoever is rebuilt has no founders to derive the id from: while it does not know it, it takes part in any cluster. */
  private async learnClusterIdOfOthers(group: GroupHost): Promise<void> {
    const { configuration, identity, log } = this
    const { peerId, clusterId: expected, initialConf, join, mixed } = configuration
    if (identity.clusterId !== null || group.node.status().standing !== 'rebuilding') return
    const others = [...initialConf.peers, ...join].filter((peer) => !peer.equals(peerId))
    if (others.length === 0) return
    // A signal of AbortSignal.timeout that only AbortSignal.any knows may be collected, and is never heard then.
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), LEARN_MS)
    try {
      const signal = AbortSignal.any([this.giveUp.signal, late.signal])
      const learned = await learnClusterId(others, { expected, mixed, signal, log })
      if (learned?.clusterId) await group.keepClusterId(learned.clusterId)
    } finally {
      clearTimeout(timer)
    }
  }

  /** Hands over leadership, answers what is under way, and lets go of everything. Always resolves; safe to call often. */
  stop(graceMs = STOP_DEADLINE_MS): Promise<void> {
    this.stopping ??= this.stopAll(graceMs)
    return this.stopping
  }

  private watchSpace(fileSystem: FileSystem): void {
    const { environment, configuration } = this
    const onChange = (state: 'short' | 'ample') => {
      this.group?.setDiskSpace(state)
      this.runTimeGroups?.setDiskSpace(state)
    }
    this.space = new SpaceMonitor({ fileSystem, clock: environment.clock, directory: configuration.dataDir, onChange })
    environment.executor.post(() => this.space?.start(), 'space')
  }

  private async stopAll(graceMs: number): Promise<void> {
    const { group, log } = this
    log.info({}, 'process.stopping')
    this.giveUp.abort()
    this.space?.stop()
    await this.learning
    await settled(Promise.all([group?.stop(), this.runTimeGroups?.close()]), log, 'the node did not stop well')
    this.peerService.close()
    await this.server.close({ deadlineMs: graceMs })
    if (group) this.nodes.remove(group.node)
    this.peers.transport.close()
    this.environment.clock.stop()
    this.stopWatchingLoop()
    await this.names.saved()
    if (this.directory) await settled(this.directory.release(), log, 'the lock of the data directory could not be released')
    if (this.directory) await this.directory.removeIfEmpty()
    log.info({}, 'process.stopped')
  }

  private async listen(): Promise<void> {
    const { listen } = this.configuration
    try {
      await this.server.listen(listen)
    } catch (error) {
      if (!(error instanceof ListenError)) throw error
      throw new StartError('E_PORT', error.message, listenHint(error.code, listen.port), { cause: error })
    }
  }

  private observe(event: RaftEvent): void {
    this.metrics.observeEvent(event)
    this.events.add(event)
    logEvent(this.log, event)
    if (event.name !== 'node.removed') return
    if (event.groupId === this.configuration.group) void this.leaveCluster(event.reason)
    else void this.runTimeGroups?.leave(event.groupId, event.reason)
  }

  /** It is no member any more: that is written down before the process stops, so that a later start says the same. */
  private async leaveCluster(reason: string): Promise<void> {
    const { group, configuration, log, requests } = this
    if (this.removal !== null || group === null) return
    const { conf } = group.node.status().configuration
    const others = conf.peers.filter((peer) => !peer.equals(configuration.peerId))
    this.removal = { reason, members: others.map((peer) => peer.address) }
    await settled(group.remember(this.removal), log, 'the removal could not be written down')
    requests.fail(removedError(configuration, this.removal))
  }
}

function* statusesOf(nodes: NodeManager<Node>): Generator<NodeStatus, void> {
  for (const node of nodes.all()) yield node.status()
}

async function settled(work: Promise<unknown>, log: Logger, problem: string): Promise<void> {
  await work.catch((error: Error) => log.error({ error: error.message }, problem))
}

function packageVersion(): string {
  const { version } = createRequire(import.meta.url)('../../../package.json') as { version: string }
  return version
}

function listenHint(code: string, port: number): string {
  if (code === 'EADDRINUSE') return `Stop what uses port ${port}, or choose another with --listen.`
  // In a pod the own name may resolve only later, and to an address that is not known beforehand.
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `Listen everywhere and say how you are found: --listen [::]:${port} --advertise NAME:${port}.`
  return 'Choose another address with --listen.'
}
