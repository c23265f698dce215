import { randomBytes } from 'node:crypto'
import type { Observer } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { RaftEvent } from '../raft/events.js'
import { Node, type NodeOptions } from '../raft/node.js'
import type { PeerId } from '../raft/peer-id.js'
import { addBraftServices, addControlService, addPages, addPeerService } from '../rpc/builtin.js'
import { callGuard } from '../rpc/call-guard.js'
import type { CommandText } from '../rpc/control-host.js'
import { EventLog } from '../rpc/event-log.js'
import { Faults } from '../rpc/faults.js'
import { ProcessIdentity } from '../rpc/identity.js'
import { NodeManager } from '../rpc/node-manager.js'
import { PeerService } from '../rpc/peer-service.js'
import { type ListenAddress, RpcServer } from '../rpc/server.js'
import { PeerTransport } from '../rpc/transport.js'
import { checksum } from '../storage/checksum.js'
import { DirectoryLock } from '../storage/lock.js'
import { NodeFileSystem } from '../storage/node-file-system.js'
import { openStorage } from '../storage/open-storage.js'
import { type ProductionEnvironment, productionEnvironment } from './environment.js'
import { EventLoopExecutor } from './executor.js'
import { GroupMember } from './group-member.js'
import { MemberNames } from './member-names.js'
import { ProgramControlHost } from './program-control-host.js'

const STOP_DEADLINE_MS = 500

/** Who a program is among the others. */
export interface RaftServerOptions {
  /** Where the others reach this process. */
  readonly peerId: PeerId
  /** 128 bits in hex that only the members of this cluster share: whoever shows others is refused. */
  readonly clusterId: string
  /** What it is called in reports. Default: its address. */
  readonly name?: string
  /** Of the program, as reports show it. Default '0'. */
  readonly version?: string
  /** Where it listens. Default: at the address of `peerId`. */
  readonly listen?: ListenAddress
  /**
   * Whether administrators may ask and change what runs here, by raftctl's commands and by braft's (CliService). Whoever reaches the
   * port may then change the members. Default true; with false the pages and `raft_stat` stay (braft disable_cli).
   */
  readonly administered?: boolean
  /** An administrator asks this program to end (Shutdown). Default: it does not listen. */
  readonly requestStop?: (graceMs: number) => void
  /** Told of each change of state of every node. */
  readonly observer?: Observer
}

/** What one member of a group is made of. Options of a node that are not named here can be given too. */
export interface GroupMemberOptions extends Partial<Omit<NodeOptions, 'environment' | 'initialConf' | 'fsm' | 'bootId'>> {
  readonly groupId: string
  readonly fsm: NodeOptions['fsm']
  /** The members of a new group; used only while the directory is empty. */
  readonly initialConf: NodeOptions['initialConf']
  /** Where the group keeps its files: its own directory, which this process locks. */
  readonly directory: string
  /** One of the group's commands in words, for `log` and `events`; null when it is none. */
  readonly describeCommand?: (data: Buffer) => CommandText | null
}

/**
 * A program's own port and what its groups share behind it: executor, connections, and the services by which members speak to each
 * other and administrators to them. It is to a program what `node start` is to raftctl.
 *
 *     const server = new RaftServer({ peerId, clusterId })
 *     await server.listen()
 *     const member = await server.start({ groupId: 'counter', fsm, initialConf, directory })
 *     const status = await member.apply(data)
 *     await server.close()
 *
 * Services of your own go to `rpc` before `listen`. What is called on a Node itself is called on `executor`; the promises here
 * take care of that.
 */
export class RaftServer {
  readonly executor = new EventLoopExecutor()
  readonly nodes = new NodeManager<Node>()
  readonly identity: ProcessIdentity
  readonly environment: ProductionEnvironment
  /** The port; more services may be added to it. */
  readonly rpc: RpcServer
  private readonly members = new Map<string, GroupMember>()
  /** Groups whose member is being started. */
  private readonly starting = new Set<string>()
  private readonly events = new EventLog()
  private readonly faults = new Faults(false)
  private readonly names = new MemberNames(new Map())
  private readonly transport: PeerTransport
  private readonly peerService: PeerService

  constructor(private readonly options: RaftServerOptions) {
    const { peerId, clusterId, name = peerId.address, version = '0', administered = true } = options
    const { executor, nodes, faults, names, events } = this
    const identity = new ProcessIdentity(peerId, name, randomBytes(16).toString('hex'), version, clusterId)
    const onName = (peer: PeerId, learned: string) => names.learn(peer, learned)
    this.identity = identity
    this.transport = new PeerTransport({ executor, identity, faults, onName })
    const { transport } = this
    this.environment = productionEnvironment({ executor, transport, observer: { event: (event) => this.observe(event) } })
    this.peerService = new PeerService({ nodes, executor, checksum, identity, faults, onName, onAlive: () => {} })
    this.rpc = new RpcServer({ guard: callGuard({ identity, onCall: () => {} }) })
    addPeerService(this.rpc, this.peerService)
    addBraftServices(this.rpc, { nodes, executor, checksum, disableCli: !administered })
    addPages(this.rpc, { nodes })
    const { environment, members } = this
    const { requestStop } = options
    if (administered)
      addControlService(this.rpc, new ProgramControlHost({ identity, nodes, events, faults, names, environment, members, requestStop }))
  }

  /** Opens the port and answers which: before any member starts, since founders say hello to each other. Throws ListenError. */
  listen(): Promise<ListenAddress> {
    const { host, port } = this.options.peerId
    return this.rpc.listen(this.options.listen ?? { host, port })
  }

  /**
   * Starts a member of a group here; resolves once it takes part. A new group takes part once all of its founders run. Throws
   * DirectoryLockedError, or an error that says what is wrong with the directory; nothing is left running then.
   */
  async start(options: GroupMemberOptions): Promise<GroupMember> {
    const { groupId } = options
    const { members, starting } = this
    if (members.has(groupId) || starting.has(groupId)) throw new Error(`group ${groupId} runs here already`)
    starting.add(groupId)
    try {
      return await this.startMember(options)
    } finally {
      starting.delete(groupId)
    }
  }

  private async startMember(options: GroupMemberOptions): Promise<GroupMember> {
    const { groupId, directory, describeCommand, ...nodeOptions } = options
    const { environment, identity, executor, nodes, members } = this
    const { peerId } = this.options
    const lock = await DirectoryLock.acquire(directory)
    const { clock, random } = environment
    const fileSystem = new NodeFileSystem(executor)
    const { clusterId, name } = identity
    const storage = openStorage({
      fileSystem,
      executor,
      clock,
      random,
      directory,
      peerId,
      clusterId,
      name,
      group: groupId,
      machine: groupId,
    })
    const node = new Node(groupId, peerId)
    const { snapshotIntervalMs } = nodeOptions
    const member = new GroupMember({ node, executor, lock, directory, storage, snapshotIntervalMs, describeCommand })
    members.set(groupId, member)
    const { status } = await member.ask<void>((done) => {
      if (!nodes.add(node)) return done(Status.error(ErrorCode.EEXIST, 'a node of that group is in this process'))
      node.init({ ...storage, ...nodeOptions, environment, bootId: identity.bootId }, done)
    })
    if (status.ok) return member
    await this.stop(member)
    throw new Error(`group ${groupId} in ${directory} does not start: ${status}`)
  }

  /** Stops one member; a leader hands over first. */
  async stop(member: GroupMember): Promise<void> {
    await member.stop()
    this.nodes.remove(member.node)
    this.members.delete(member.node.groupId)
  }

  /** Stops every member and closes the port; calls that run may take `deadlineMs` more. */
  async close(deadlineMs = STOP_DEADLINE_MS): Promise<void> {
    await Promise.all([...this.members.values()].map((member) => this.stop(member)))
    this.peerService.close()
    await this.rpc.close({ deadlineMs })
    this.transport.close()
    this.environment.clock.stop()
  }

  private observe(event: RaftEvent): void {
    this.events.add(event)
    this.options.observer?.event(event)
  }
}
