import { readFileSync } from 'node:fs'
import * as net from 'node:net'
import { Configuration, ConfigurationEntry } from '../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../src/raft/errors.js'
import type { ChangeOptions } from '../../src/raft/membership.js'
import type { PeerHandler } from '../../src/raft/messages.js'
import type { NodeStatus } from '../../src/raft/node-status.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../src/raft/types.js'
import type { AdministeredNode } from '../../src/rpc/cli-service.js'

export const FIXTURES = new URL('../../../test/fixtures/braft/', import.meta.url)

/** A frame as it was captured between real braft processes. */
export interface CapturedFrame {
  readonly from_port: number
  readonly to_port: number
  readonly kind: 'request' | 'response'
  readonly service: string
  readonly method: string
  readonly correlation_id: number
  readonly meta: Buffer
  readonly body: Buffer
  readonly attachment: Buffer
}

export function capturedFrames(run: 'cli-and-client' | 'counter-4-peers'): CapturedFrame[] {
  const lines = readFileSync(new URL(`${run}/frames.jsonl`, FIXTURES), 'utf8')
    .trim()
    .split('\n')
  return lines.map((line) => {
    const frame = JSON.parse(line)
    return { ...frame, meta: hex(frame.meta), body: hex(frame.body), attachment: hex(frame.attachment) }
  })
}

export function hex(text: string): Buffer {
  return Buffer.from(text.replace(/\s/g, ''), 'hex')
}

/** The bytes of a captured frame as they were on the wire. */
export function wireBytes(frame: CapturedFrame): Buffer {
  const header = Buffer.alloc(12)
  header.write('PRPC')
  header.writeUInt32BE(frame.meta.length + frame.body.length + frame.attachment.length, 4)
  header.writeUInt32BE(frame.meta.length, 8)
  return Buffer.concat([header, frame.meta, frame.body, frame.attachment])
}

export function peer(text: string): PeerId {
  return PeerId.parse(text)!
}

const TIMER_OFF = { timeoutMs: 1000, firesInMs: null }

/** A follower of 127.0.0.1:8501 in a group of three, but for what the test says. */
export function nodeStatus(overrides: Partial<NodeStatus> = {}): NodeStatus {
  return {
    groupId: 'Counter',
    peerId: peer('127.0.0.1:8500'),
    state: 'FOLLOWER',
    readonly: false,
    priority: 100,
    witness: false,
    term: asTerm(3),
    votedFor: PeerId.EMPTY,
    leaderId: peer('127.0.0.1:8501'),
    leaderContactMs: 20,
    leaderForMs: 1000,
    leaderReadyForMs: null,
    membership: { stage: 'none', target: null },
    configuration: new ConfigurationEntry(
      { index: logIndex(69), term: asTerm(3) },
      Configuration.parse('127.0.0.1:8500,127.0.0.1:8501,127.0.0.1:8503')!,
    ),
    configurationCommitted: true,
    firstIndex: logIndex(1),
    lastId: { index: logIndex(82), term: asTerm(3) },
    durableIndex: logIndex(82),
    committedIndex: logIndex(82),
    appliedIndex: logIndex(82),
    pendingIndex: logIndex(0),
    pendingTasks: 0,
    writeLatency: null,
    snapshotId: { index: logIndex(0), term: asTerm(0) },
    snapshot: { id: { index: logIndex(0), term: asTerm(0) }, state: 'idle', bytesDone: 0, bytesTotal: 0 },
    machineActivity: 'Idle',
    electionTimer: { timeoutMs: 1000, firesInMs: 198 },
    voteTimer: { ...TIMER_OFF, timeoutMs: 2000 },
    snapshotTimer: { timeoutMs: 0, firesInMs: null },
    stepdownTimer: TIMER_OFF,
    electionTimeoutMs: 1000,
    heartbeatMs: 100,
    standing: 'member',
    incarnation: '00',
    diskStalledForMs: null,
    lease: { state: 'disabled', term: null, leaseEpoch: null },
    error: null,
    peers: [],
    ...overrides,
  }
}

/** A node without an engine: status and handler are the test's. */
export class FakeNode implements AdministeredNode {
  readonly transfers: (PeerId | null)[] = []
  countsForBraft = true
  /** `change`, `reset` and the peers, or `snapshot`. */
  readonly asked: string[] = []
  /** What comes of changes, resets and snapshots. */
  outcome = Status.OK
  transferRefusal: Status | null = null
  current: NodeStatus

  constructor(
    readonly groupId: string,
    readonly peerId: PeerId,
    readonly handler: PeerHandler = silentHandler(),
    status: Partial<NodeStatus> = {},
  ) {
    this.current = nodeStatus({ groupId, peerId, ...status })
  }

  status(): NodeStatus {
    return this.current
  }

  leaderId(): PeerId {
    return this.current.leaderId
  }

  isLeader(): boolean {
    return this.current.state === 'LEADER'
  }

  listPeers(): Configuration | null {
    return this.isLeader() ? this.current.configuration.conf : null
  }

  changePeers(conf: Configuration, _options: ChangeOptions, done: (status: Status) => void): void {
    this.asked.push(`change ${conf}`)
    done(this.outcome)
  }

  resetPeers(conf: Configuration): Status {
    this.asked.push(`reset ${conf}`)
    return this.outcome
  }

  snapshot(done: (status: Status) => void): void {
    this.asked.push('snapshot')
    done(this.outcome)
  }

  readFile(
    readerId: string,
    _filename: string,
    _offset: number,
    _count: number,
    done: (status: Status, piece?: { data: Buffer; eof: boolean }) => void,
  ): void {
    done(Status.error(ErrorCode.ENOENT, `no reader ${readerId}`))
  }

  transferLeadershipTo(target: PeerId | null, done: (status: Status) => void): void {
    this.transfers.push(target)
    if (this.transferRefusal) done(this.transferRefusal)
  }
}

/** Answers every call EPERM, but for the calls the test answers. */
export function silentHandler(overrides: Partial<PeerHandler> = {}): PeerHandler {
  const refuse = (_request: unknown, answer: (status: Status) => void) =>
    answer(Status.error(ErrorCode.EPERM, 'not asked for by this test'))
  return {
    handleHello: refuse,
    handlePreVote: refuse,
    handleRequestVote: refuse,
    handleAppendEntries: refuse,
    handleInstallSnapshot: refuse,
    handleGetFile: refuse,
    handleSettle: refuse,
    handleTimeoutNow: refuse,
    handleReadIndex: refuse,
    handleRelease: refuse,
    handleStreamBroken: () => {},
    ...overrides,
  }
}

/** A bare TCP connection that keeps what it received. */
export class RawConnection {
  received: Buffer = Buffer.alloc(0)
  readonly closed: Promise<void>
  private waiters: (() => void)[] = []

  private constructor(readonly socket: net.Socket) {
    socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk])
      this.wake()
    })
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.once('close', () => this.wake())
  }

  static open(port: number): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = net.connect(port, '127.0.0.1')
      socket.once('error', reject)
      socket.once('connect', () => resolve(new RawConnection(socket)))
    })
  }

  send(bytes: Uint8Array | string): void {
    this.socket.write(bytes)
  }

  /** Resolves once `bytes` bytes are here; rejects when the server hangs up before. */
  async receive(bytes: number): Promise<Buffer> {
    while (this.received.length < bytes) {
      if (this.socket.destroyed) throw new Error(`closed after ${this.received.length} of ${bytes} bytes`)
      await new Promise<void>((resolve) => this.waiters.push(resolve))
    }
    const taken = this.received.subarray(0, bytes)
    this.received = this.received.subarray(bytes)
    return taken
  }

  /** The next baidu_std frame, as bytes. */
  async receiveFrame(): Promise<Buffer> {
    const header = Buffer.from(await this.receive(12))
    return Buffer.concat([header, await this.receive(header.readUInt32BE(4))])
  }

  /** Breaks the connection with a reset. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  private wake(): void {
    for (const waiter of this.waiters.splice(0)) waiter()
  }
}

/** A listener on a port of its own; `close` ends it and what it accepted. */
export async function listen(accept: (socket: net.Socket) => void): Promise<{ port: number; close: () => Promise<void> }> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    accept(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
