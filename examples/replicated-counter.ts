// A counter on three machines that survives the loss of one. Each member is a process of its own:
//   node dist/examples/replicated-counter.js 127.0.0.1:7101 127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103 DIR
// Every member takes lines: a number is added to the counter, an empty line reads it, "snapshot" takes one. A program of your own imports from 'raftctl'.
import { createInterface } from 'node:readline'
import {
  addPeerService,
  Configuration,
  checksum,
  closure,
  DirectoryLock,
  ErrorCode,
  EventLoopExecutor,
  Faults,
  Node,
  NodeFileSystem,
  NodeManager,
  openStorage,
  PeerId,
  PeerService,
  PeerTransport,
  ProcessIdentity,
  productionEnvironment,
  RpcServer,
  type SnapshotMeta,
  type Status,
} from '../src/index.js'
import { Counter, encodeAmount } from './counter-machine.js'

const GROUP = 'counter'
/** 128 bits that only the members of this cluster share: whoever shows others is refused. */
const CLUSTER_ID = '5f0c1d6b3e7a4c289b1d0e6f7a8c9d21'
const ONE_MINUTE_MS = 60_000

const [self, members, directory] = process.argv.slice(2)
const peerId = PeerId.parse(self ?? '')
const initialConf = Configuration.parse(members ?? '')
if (!peerId || !initialConf || directory === undefined) throw new Error('usage: replicated-counter.js HOST:PORT HOST:PORT,… DIR')

// The world: one executor on which everything of the engine runs, the disk, and the way to the others.
const lock = await DirectoryLock.acquire(directory)
const executor = new EventLoopExecutor()
const identity = new ProcessIdentity(peerId, self!, crypto.randomUUID(), '1.0.0', CLUSTER_ID)
const faults = new Faults(false)
const onName = () => {}
const transport = new PeerTransport({ executor, identity, faults, onName })
const environment = productionEnvironment({ executor, transport, observer: { event: () => {} } })
const { clock, random } = environment
const storage = openStorage({
  fileSystem: new NodeFileSystem(executor),
  executor,
  clock,
  random,
  directory,
  peerId,
  clusterId: CLUSTER_ID,
  name: self!,
  group: GROUP,
})

// The port, on which the others reach this process.
const nodes = new NodeManager()
const peerService = new PeerService({ nodes, executor, checksum, identity, faults, onName, onAlive: () => {} })
const server = new RpcServer()
addPeerService(server, peerService)
await server.listen({ host: peerId.host, port: peerId.port })

// The member.
const counter = new Counter()
const node = new Node(GROUP, peerId)

/** Whatever is asked of a node is asked on its executor, and answered there. */
function ask<T>(question: (done: (status: Status, value?: T) => void) => void): Promise<{ status: Status; value: T | undefined }> {
  return new Promise((resolve) => executor.post(() => question((status, value) => resolve({ status, value })), 'ask'))
}

const started = await ask<void>((done) => {
  node.init({ environment, initialConf, fsm: counter, ...storage, snapshotIntervalMs: ONE_MINUTE_MS, bootId: identity.bootId }, done)
  nodes.add(node)
})
if (!started.status.ok) throw new Error(started.status.toString())

async function add(amount: bigint): Promise<string> {
  const { status } = await ask<void>((done) => node.apply({ data: encodeAmount(amount), done: closure(done) }))
  if (status.ok) return 'added'
  // Not taken: whoever leads may be asked instead. Any other error, EOUTCOMEUNKNOWN above all, may have been applied.
  if (status.code === ErrorCode.EPERM) return `not the leader, that is ${node.leaderId().isEmpty ? 'nobody' : node.leaderId().address}`
  return `${status}`
}

async function read(): Promise<string> {
  const { status } = await ask((done) => node.readIndex(5000, done))
  return status.ok ? `${counter.value}` : `${status}`
}

async function snapshot(): Promise<string> {
  const { status, value: meta } = await ask<SnapshotMeta>((done) => node.snapshot(done))
  return status.ok ? `snapshot at ${meta!.lastIncluded.index}` : `${status}`
}

function answerTo(line: string): Promise<string> | string {
  if (line === '') return read()
  if (line === 'snapshot') return snapshot()
  return /^-?\d{1,18}$/.test(line) ? add(BigInt(line)) : 'a number, "snapshot", or nothing'
}

process.stdout.write('ready\n')
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${await answerTo(line.trim())}\n`)
}

// A leader hands over first.
await ask<void>((done) => node.shutdown(done))
peerService.close()
await server.close({ deadlineMs: 500 })
transport.close()
clock.stop()
await lock.release()
