import type { Done } from '../../src/raft/closure.js'
import { errorName, Status } from '../../src/raft/errors.js'
import type { InstallSnapshotResponse } from '../../src/raft/messages.js'
import type { NodeOptions } from '../../src/raft/node.js'
import { PeerId } from '../../src/raft/peer-id.js'
import type { SnapshotFileMeta, SnapshotReader } from '../../src/raft/storage.js'
import { asTerm } from '../../src/raft/types.js'
import { peer } from './entries.js'
import { FakeSnapshotStorage } from './fake-snapshot-storage.js'
import { type Answered, FakeMetaStorage, NodeBench } from './node-bench.js'
import { snapshotMeta } from './snapshot-bench.js'

const PEERS = ['127.0.0.1:1:0:0', '127.0.0.1:2:0:0', '127.0.0.1:3:0:0']

/** A follower in term 5 that is offered snapshots; its machine loads when told to. */
export class InstallBench extends NodeBench {
  load: Done | null = null

  constructor(
    readonly storage: FakeSnapshotStorage | null = new FakeSnapshotStorage(),
    options: Partial<Pick<NodeOptions, 'installTasks' | 'snapshotThrottleBytesPerSecond'>> = {},
  ) {
    super({
      ...options,
      meta: new FakeMetaStorage({ term: asTerm(5), votedFor: PeerId.EMPTY }),
      snapshotIntervalMs: 0,
      snapshotStorage: storage,
    })
    Object.assign(this.machine, { onSnapshotLoad: (_reader: SnapshotReader, done: Done) => (this.load = done) })
    this.init()
  }

  override settle(): void {
    do super.settle()
    while (this.storage?.completeOne())
  }

  offer(index: number, options: { term?: number; uri?: string; from?: number } = {}): Answered<InstallSnapshotResponse> {
    const { term = 5, from = 2 } = options
    const { uri = `remote://127.0.0.1:${from}/77` } = options
    const meta = snapshotMeta(index, term, PEERS)
    const request = { groupId: 'g', serverId: peer(from), peerId: peer(1), term: asTerm(term), meta, uri }
    return this.ask<InstallSnapshotResponse>((answer) => this.impl.handleInstallSnapshot(request, answer))
  }

  /** The source answers with the list of a snapshot, one without files unless the test says otherwise. */
  give(index: number, term = 5, files: ReadonlyMap<string, SnapshotFileMeta> = new Map()): this {
    this.storage!.list = { meta: snapshotMeta(index, term, PEERS), files }
    this.transport
      .open('getFile')
      .at(-1)!
      .finish(Status.OK, { eof: true, data: Buffer.alloc(0), crc32c: 0 })
    this.settle()
    return this
  }

  loaded(status = Status.OK): this {
    this.load!(status)
    this.settle()
    return this
  }

  get progress(): string {
    return this.node.status().snapshot.state
  }
}

/** What a leader was told of its offer. */
export const told = ({ status, response }: Answered<InstallSnapshotResponse>) =>
  status === null ? 'held' : status.ok ? `${response!.success} ${response!.term}` : errorName(status.code)
