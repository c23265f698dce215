// Puts and reads of etcd's API in a closed loop: each client sends when it was answered.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { framed, LeanGrpc } from './lean-grpc.mjs'
import { percentile } from './turns.mjs'

export const PUT = '/etcdserverpb.KV/Put'
export const RANGE = '/etcdserverpb.KV/Range'
const COMPACT = '/etcdserverpb.KV/Compact'
const STATUS = '/etcdserverpb.Maintenance/Status'
const CONNECTIONS_MAX = 8

export function putMessage(key, value) {
  return framed(Buffer.concat([field(1, key), field(2, value)]))
}

export function rangeMessage(key) {
  return framed(field(1, key))
}

/** Has what can only be read at older revisions than the newest forgotten: puts to the same keys would fill memory otherwise. */
export async function compact(address) {
  const connection = new LeanGrpc(address)
  const call = (path, message) =>
    new Promise((done, fail) => connection.call(path, message, (error, answer) => (error ? fail(error) : done(answer))))
  try {
    const header = fieldsOf(fieldsOf(await call(RANGE, rangeMessage(Buffer.from('bench')))).get(1))
    await call(COMPACT, framed(Buffer.concat([Buffer.from([1 << 3]), varint(Number(header.get(3)))])))
  } finally {
    connection.close()
  }
}

/**
 * `next(i)` is the i-th call as [path, message], sent with `metadata`; where `address` is a list, as [path, message, one of them, group].
 * Answers operations a second, and latencies in ms.
 */
export async function closedLoop({
  address,
  clients,
  seconds = 0,
  warmupSeconds = 1,
  operations = Number.POSITIVE_INFINITY,
  metadata,
  next,
}) {
  const pools = new Map(
    [address].flat().map((each) => [each, Array.from({ length: Math.min(clients, CONNECTIONS_MAX) }, () => new LeanGrpc(each, metadata))]),
  )
  const latencies = []
  let measuring = false
  let ending = false
  let flying = 0
  let sent = 0
  let failure = null
  let allEnded
  const ended = new Promise((done) => (allEnded = done))
  const send = (client) => {
    const startedAt = performance.now()
    const [path, message, to = address, group] = next(sent++)
    const pool = pools.get(to)
    flying++
    const answered = (error) => {
      flying--
      failure ??= error
      if (measuring) latencies.push(performance.now() - startedAt)
      if (!ending && !failure && sent < operations) send(client)
      else if (flying === 0) allEnded()
    }
    pool[client % pool.length].call(path, message, answered, group)
  }
  const close = () => {
    for (const connection of [...pools.values()].flat()) connection.close()
    if (failure) throw failure
  }
  for (let client = 0; client < clients; client++) send(client)
  const pause = (ms) => Promise.race([ended, new Promise((done) => setTimeout(done, ms))])
  if (operations < Number.POSITIVE_INFINITY) {
    await ended
    return close()
  }
  await pause(warmupSeconds * 1000)
  measuring = true
  const [startedAt, cpu] = [performance.now(), process.cpuUsage()]
  await pause(seconds * 1000)
  measuring = false
  const tookMs = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpu)
  ending = true
  await ended
  close()
  return {
    perSecond: (latencies.length * 1000) / tookMs,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    clientCpuUs: (user + system) / latencies.length,
  }
}

/** What this client does against a server that answers at once. */
export async function ceiling({ clients, seconds, next }) {
  const server = spawn(process.execPath, [fileURLToPath(new URL('./echo-server.mjs', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const [port] = await new Promise((done) => createInterface({ input: server.stdout }).once('line', (line) => done([line])))
    return await closedLoop({ address: `127.0.0.1:${port}`, clients, seconds, next })
  } finally {
    server.kill('SIGKILL')
  }
}

/** Which of etcd's members leads; null when none says so. */
export async function etcdLeader(addresses) {
  for (const address of addresses) {
    const connection = new LeanGrpc(address)
    const status = await new Promise((done) =>
      connection.call(STATUS, framed(Buffer.alloc(0)), (error, message) => done(error ? null : message)),
    )
    connection.close()
    if (status === null) continue
    const fields = fieldsOf(status)
    const own = fieldsOf(fields.get(1)).get(2)
    if (own !== undefined && own === fields.get(4)) return address
  }
  return null
}

function field(number, bytes) {
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes])
}

function varint(value) {
  const bytes = []
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128)
  return Buffer.from([...bytes, value])
}

/** Bytes or BigInts by number. */
function fieldsOf(message) {
  const fields = new Map()
  let at = 0
  const read = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const tag = Number(read())
    if ((tag & 7) === 0) fields.set(tag >> 3, read())
    else {
      const length = Number(read())
      fields.set(tag >> 3, message.subarray(at, at + length))
      at += length
    }
  }
  return fields
}
