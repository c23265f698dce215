// How long nothing is acknowledged while leadership changes: one put at a time at each member, as fast as it is answered.

import { PUT, putMessage } from './kv-load.mjs'
import { framed, LeanGrpc } from './lean-grpc.mjs'

const RETRY_MS = 2
const GET_LEADER = '/raftctl.v1.Control/GetLeader'
const TRANSFER = '/raftctl.v1.Control/TransferLeader'
const VALUE = Buffer.alloc(16, 'v')

/** Writes at these members until `end`; what was acknowledged last, and the longest time without, since `restart`. */
export class Writers {
  acked = 0
  lastAckAt = null
  longestMs = 0
  isOver = false
  connections = new Map()

  constructor(addresses) {
    for (const address of addresses) this.write(address, 0)
  }

  write(address, attempt) {
    if (this.isOver) return
    let connection = this.connections.get(address)
    if (!connection || connection.failure) this.connections.set(address, (connection = new LeanGrpc(address)))
    connection.call(PUT, putMessage(Buffer.from(`gap/${address}`), VALUE), (error) => {
      if (error) return void setTimeout(() => this.write(address, attempt + 1), RETRY_MS)
      this.noteAck()
      this.write(address, 0)
    })
  }

  noteAck() {
    const now = performance.now()
    if (this.lastAckAt !== null) this.longestMs = Math.max(this.longestMs, now - this.lastAckAt)
    this.lastAckAt = now
    this.acked++
    this.onAck?.(now)
  }

  /** When the next write is acknowledged that was, as far as is known here, sent to whoever leads then. */
  nextAck() {
    return new Promise((done) => {
      this.onAck = (at) => {
        this.onAck = undefined
        done(at)
      }
    })
  }

  end() {
    this.isOver = true
    for (const connection of this.connections.values()) connection.close()
  }
}

/** The PeerId of the leader as that member knows it; null when it knows none, or does not answer. */
export async function leaderAt(address) {
  const answer = await ask(address, GET_LEADER, Buffer.alloc(0))
  return answer && answer.length > 0 ? text(answer) : null
}

/** Hands leadership over to the best candidate; false when that did not come about. */
export async function transfer(address) {
  return (await ask(address, TRANSFER, Buffer.alloc(0))) !== null
}

async function ask(address, path, message) {
  const connection = new LeanGrpc(address)
  try {
    return await new Promise((done) => connection.call(path, framed(message), (error, answer) => done(error ? null : answer)))
  } finally {
    connection.close()
  }
}

/** The string that comes first in a message. */
function text(message) {
  return message[0] === 0x0a ? message.subarray(2, 2 + message[1]).toString() : ''
}
