// A counter on three machines that survives the loss of one. Each member is a process of its own:
//   node dist/examples/replicated-counter.js 127.0.0.1:7101 127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103 DIR
// Every member takes lines: a number is added to the counter, an empty line reads it, "snapshot" takes one. Administrators see it
// too: raftctl status --endpoints 127.0.0.1:7101 --group counter. A program of your own imports from 'raftctl'.
import { createInterface } from 'node:readline'
import { Configuration, ErrorCode, PeerId, RaftServer } from '../src/index.js'
import { Counter, encodeAmount } from './counter-machine.js'

/** 128 bits that only the members of this cluster share: whoever shows others is refused. */
const CLUSTER_ID = '5f0c1d6b3e7a4c289b1d0e6f7a8c9d21'
const ONE_MINUTE_MS = 60_000

const [self, members, directory] = process.argv.slice(2)
const peerId = PeerId.parse(self ?? '')
const initialConf = Configuration.parse(members ?? '')
if (!peerId || !initialConf || directory === undefined) throw new Error('usage: replicated-counter.js HOST:PORT HOST:PORT,… DIR')

const counter = new Counter()
const server = new RaftServer({ peerId, clusterId: CLUSTER_ID })
await server.listen()
const member = await server.start({ groupId: 'counter', fsm: counter, initialConf, directory, snapshotIntervalMs: ONE_MINUTE_MS })

async function add(amount: bigint): Promise<string> {
  const status = await member.apply(encodeAmount(amount))
  if (status.ok) return 'added'
  // Not taken: whoever leads may be asked instead. Any other error, EOUTCOMEUNKNOWN above all, may have been applied.
  const leader = member.node.leaderId()
  return status.code === ErrorCode.EPERM ? `not the leader, that is ${leader.isEmpty ? 'nobody' : leader.address}` : `${status}`
}

async function read(): Promise<string> {
  const status = await member.readIndex(5000)
  return status.ok ? `${counter.value}` : `${status}`
}

async function snapshot(): Promise<string> {
  const { status, value } = await member.snapshot()
  return status.ok ? `snapshot at ${value!.lastIncluded.index}` : `${status}`
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
await server.close()
