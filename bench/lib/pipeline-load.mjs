// Puts by raftctl's pipeline, in a closed loop: one stream, so many calls in flight; what was answered is asked again in one message.
import { framed, LeanGrpc } from './lean-grpc.mjs'
import { percentile } from './turns.mjs'

const RUN = '/raftctl.kv.Pipeline/Run'
const Field = { CALLS: 1, ANSWERS: 1, ID: 1, PUT: 5, FAILURE: 6 }
const LENGTH = 2

/** `puts` are messages of etcd's PutRequest. Answers operations a second, and latencies in ms. */
export async function pipelinedPuts({ address, inFlight, seconds, warmupSeconds = 1, puts }) {
  const connection = new LeanGrpc(address)
  const startedAt = new Float64Array(inFlight)
  let latencies = null
  let failure = null
  let ending = false
  let flying = 0
  let sent = 0
  let over
  const ended = new Promise((done) => (over = done))
  const stop = (error) => {
    failure ??= error
    over()
  }
  const send = connection.stream(
    RUN,
    (message) => ask(answeredIn(message, stop)),
    (error) => stop(error ?? new Error('the stream ended')),
  )
  const ask = (ids) => {
    const now = performance.now()
    const calls = []
    for (const id of ids) {
      if (startedAt[id] > 0) {
        flying--
        latencies?.push(now - startedAt[id])
      }
      if (ending) continue
      startedAt[id] = now
      flying++
      calls.push(
        bytesField(
          Field.CALLS,
          Buffer.concat([Buffer.from([Field.ID << 3]), varint(id), bytesField(Field.PUT, puts[sent++ % puts.length])]),
        ),
      )
    }
    if (calls.length > 0) send(framed(Buffer.concat(calls)))
    if (ending && flying === 0) over()
  }
  const pause = (ms) => Promise.race([ended, new Promise((done) => setTimeout(done, ms))])
  ask(Array.from({ length: inFlight }, (_, id) => id))
  await pause(warmupSeconds * 1000)
  latencies = []
  const [from, cpu] = [performance.now(), process.cpuUsage()]
  await pause(seconds * 1000)
  const [measured, tookMs, used] = [latencies, performance.now() - from, process.cpuUsage(cpu)]
  latencies = null
  ending = true
  if (!failure) await ended
  connection.close()
  if (failure) throw failure
  return {
    perSecond: (measured.length * 1000) / tookMs,
    p50Ms: percentile(measured, 0.5),
    p99Ms: percentile(measured, 0.99),
    clientCpuUs: (used.user + used.system) / Math.max(1, measured.length),
  }
}

/** The ids of what was answered; the first failure is told. */
function answeredIn(message, onFailure) {
  const ids = []
  for (let at = 0; at < message.length; ) {
    at++ // the field of an answer
    const [length, begin] = readVarint(message, at)
    at = begin + length
    let inner = begin
    let id = 0
    while (inner < at) {
      const tag = message[inner++]
      const [value, next] = readVarint(message, inner)
      inner = (tag & 7) === LENGTH ? next + value : next
      if (tag >> 3 === Field.ID) id = value
      if (tag >> 3 === Field.FAILURE) onFailure(new Error(`refused: ${message.subarray(next, inner)}`))
    }
    ids.push(id)
  }
  return ids
}

function readVarint(bytes, at) {
  let value = 0
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return [value, at]
  }
}

function varint(value) {
  const out = []
  let rest = value
  for (; rest > 0x7f; rest >>>= 7) out.push((rest & 0x7f) | 0x80)
  out.push(rest)
  return Buffer.from(out)
}

function bytesField(number, bytes) {
  return Buffer.concat([Buffer.from([(number << 3) | LENGTH]), varint(bytes.length), bytes])
}
