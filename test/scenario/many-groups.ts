import type { Done } from '../../src/raft/closure.js'
import { Configuration } from '../../src/raft/configuration.js'
import { ElectionGate } from '../../src/raft/election-gate.js'
import type { Environment } from '../../src/raft/environment.js'
import { Status } from '../../src/raft/errors.js'
import type { RaftEvent } from '../../src/raft/events.js'
import { Heartbeats } from '../../src/raft/heartbeats.js'
import { Node } from '../../src/raft/node.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { type Iterator, StateMachine } from '../../src/raft/raft.js'
import type { RaftMeta, RaftMetaStorage } from '../../src/raft/storage.js'
import { asTerm } from '../../src/raft/types.js'
import { checksum } from '../../src/storage/checksum.js'
import { MemoryLogStorage } from '../../src/storage/memory-log.js'
import { Scheduler } from '../../src/testing/scheduler.js'
import { SimNetwork } from '../../src/testing/sim-network.js'
import { SimProcess } from '../../src/testing/sim-process.js'
import { SimRandom } from '../../src/testing/sim-random.js'

class Nothing extends StateMachine {
  override onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) iterator.done()?.run(Status.OK)
  }
}

/** Term and vote of one group on one machine: they outlive its processes. */
class KeptMeta implements RaftMetaStorage {
  private meta: RaftMeta = { term: asTerm(1), votedFor: PeerId.EMPTY }
  post: (fn: () => void) => void = () => {}

  load(done: (status: Status, meta?: RaftMeta) => void): void {
    this.post(() => done(Status.OK, this.meta))
  }

  save(meta: RaftMeta, done: Done): void {
    this.meta = meta
    this.post(() => done(Status.OK))
  }
}

/** The log of one group on one machine, whichever process asks. */
class Kept {
  readonly meta = new KeptMeta()
  private process: SimProcess | null = null
  readonly log = new MemoryLogStorage({ post: (fn, label) => this.process!.executor.post(fn, label) })

  use(process: SimProcess): void {
    this.process = process
    this.meta.post = (fn) => process.executor.post(fn, 'meta')
  }
}

export interface Conditions {
  /** One way, at least and on average. Long ones stand for processes that have more to do than they can. */
  readonly delayMs?: readonly [number, number]
  /** Whether a process (0, 1, 2) runs a group; all run all when left out. */
  readonly runs?: (process: number, group: number) => boolean
}

/** Three machines with one process each, and in each process a member of every group; disks are memory. */
export class ManyGroups {
  readonly scheduler = new Scheduler()
  readonly events: { readonly at: number; readonly event: RaftEvent }[] = []
  readonly network: SimNetwork
  private readonly random: SimRandom
  private readonly peers = [1, 2, 3].map((i) => new PeerId(`10.0.0.${i}`, 7000))
  private readonly disks = new Map<string, Kept>()
  private processes: SimProcess[] = []
  private nodes: Node[] = []
  private incarnation = 0

  constructor(
    readonly groups: number,
    readonly electionTimeoutMs: number,
    seed: number,
    private readonly conditions: Conditions = {},
  ) {
    const [delayMinMs, delayMeanMs] = conditions.delayMs ?? [0.1, 0.5]
    this.random = new SimRandom(seed)
    const profile = { delayMinMs, delayMeanMs, lossRate: 0, duplicateRate: 0, resetRate: 0, corruptRate: 0 }
    this.network = new SimNetwork(this.scheduler, profile, this.random.fork('network'), checksum)
  }

  /** Every process ends and starts again, all at the same moment. */
  restart(): void {
    for (const process of this.processes) {
      process.die()
      this.network.processGone(process.address, true)
    }
    this.processes = []
    this.nodes = []
    this.incarnation++
    for (const [i, peer] of this.peers.entries()) this.startProcess(i + 1, peer)
  }

  /** A process ends, and nobody listens at its address any more. */
  kill(at: number): void {
    const process = this.processes[at]!
    process.die()
    this.network.processGone(process.address, true)
    this.nodes = this.nodes.filter((node) => !node.peerId.equals(this.peers[at]!))
  }

  /** How many groups a process leads. */
  ledBy(at: number): number {
    return this.nodes.filter((node) => node.peerId.equals(this.peers[at]!) && node.isLeader()).length
  }

  /** How many groups have a leader that may be asked. */
  get led(): number {
    return new Set(this.nodes.filter((node) => node.status().leaderReadyForMs !== null).map((node) => node.groupId)).size
  }

  run(ms: number): void {
    this.scheduler.runUntil(this.scheduler.now + ms)
  }

  countOf(name: RaftEvent['name'], since: number): number {
    return this.timesOf(name, since).length
  }

  timesOf(name: RaftEvent['name'], since: number): number[] {
    return this.events.filter(({ at, event }) => at >= since && event.name === name).map(({ at }) => at)
  }

  private startProcess(id: number, peer: PeerId): void {
    const random = this.random.fork(`process ${id} ${this.incarnation}`)
    const clock = { clockRate: 1, timerLatenessMs: 0 }
    const process = new SimProcess(this.scheduler, `n${id}`, id, peer.address, this.incarnation, random.fork('clock'), clock)
    this.processes.push(process)
    const transport = this.network.transportOf(process)
    const elections = new ElectionGate(process.executor)
    const heartbeats = new Heartbeats(process.clock)
    const runs = this.conditions.runs ?? (() => true)
    for (let group = 0; group < this.groups; group++)
      if (runs(id - 1, group)) this.startNode(`g${group}`, peer, process, { random, transport, elections, heartbeats })
  }

  private startNode(
    group: string,
    peer: PeerId,
    process: SimProcess,
    parts: Pick<Environment, 'random' | 'transport' | 'elections' | 'heartbeats'>,
  ): void {
    const disk = this.disks.get(`${group} ${peer.key}`) ?? new Kept()
    this.disks.set(`${group} ${peer.key}`, disk)
    disk.use(process)
    const { clock, executor } = process
    const environment: Environment = {
      clock,
      executor,
      transport: parts.transport,
      elections: parts.elections!,
      heartbeats: parts.heartbeats!,
      random: parts.random.fork(group),
      checksum,
      observer: { event: (event) => this.events.push({ at: this.scheduler.now, event }) },
      failpoints: { hit: () => null },
    }
    const node = new Node(group, peer)
    process.nodes.add(node)
    this.nodes.push(node)
    node.init(
      {
        environment,
        initialConf: new Configuration(this.peers),
        fsm: new Nothing(),
        logStorage: disk.log,
        metaStorage: disk.meta,
        identityStorage: null,
        bootId: `${peer.key} ${this.incarnation}`,
        electionTimeoutMs: this.electionTimeoutMs,
      },
      () => {},
    )
  }
}
