// A durable counter in one process: node dist/examples/counter.js DIR [AMOUNT]
// Adds AMOUNT to what earlier runs left in DIR and prints the sum. A program of your own imports from 'raftctl'.
import {
  Configuration,
  closure,
  EventLoopExecutor,
  Node,
  NodeFileSystem,
  openStorage,
  PeerId,
  productionEnvironment,
  type Status,
  type Transport,
} from '../src/index.js'
import { Counter, encodeAmount } from './counter-machine.js'

const [directory, amount = '1'] = process.argv.slice(2)
if (directory === undefined) throw new Error('usage: node dist/examples/counter.js DIR [AMOUNT]')

/** A group of one never speaks to anybody; three processes would use PeerTransport. */
const nobody: Transport = {
  call: () => ({ cancel: () => {} }),
  openAppendStream: () => ({ send: () => {}, close: () => {} }),
  dial: (_to, _timeoutMs, done) => executor.post(() => done('refused'), 'dial'),
}
const executor = new EventLoopExecutor()
const environment = productionEnvironment({ executor, transport: nobody, observer: { event: () => {} } })
const { clock, random } = environment
const peerId = new PeerId('127.0.0.1', 7101)
const counter = new Counter()
const node = new Node('counter', peerId)
const { logStorage, metaStorage, identityStorage } = openStorage({
  fileSystem: new NodeFileSystem(executor),
  executor,
  clock,
  random,
  directory,
  peerId,
  clusterId: null,
  name: 'alone',
})

/** The engine speaks in callbacks; a program may prefer promises. */
function told<T>(ask: (done: (status: Status, value?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    executor.post(() => ask((status, value) => (status.ok ? resolve(value as T) : reject(new Error(status.toString())))), 'example')
  })
}

await told<void>((done) =>
  node.init(
    {
      environment,
      initialConf: new Configuration([peerId]),
      fsm: counter,
      logStorage,
      metaStorage,
      identityStorage,
      bootId: random.hex(16),
    },
    done,
  ),
)
while (!node.isLeader()) await new Promise((resolve) => setTimeout(resolve, 5))
await told<void>((done) => node.apply({ data: encodeAmount(BigInt(amount)), done: closure(done) }))
await told((done) => node.readIndex(1000, done))
process.stdout.write(`${counter.value}\n`)
await told<void>((done) => node.shutdown(done))
clock.stop()
