import { createHash } from 'node:crypto'
import { example as atomic } from '../../src/generated/atomic.js'
import { example as block } from '../../src/generated/block.js'
import { callBaiduStd } from '../../src/rpc/baidu-std-client.js'
import { clientOf, GET, int64 } from './group-calls.js'

const TIMEOUT_MS = 5000
const PIECE_BYTES = 1024 * 1024
/** As far as braft's client of the block writes. */
const BLOCK_BYTES = 64 * PIECE_BYTES

const ATOMIC_GET = { service: 'example.AtomicService', method: 'get', request: atomic.GetRequest, response: atomic.AtomicResponse }
const BLOCK_READ = { service: 'example.BlockService', method: 'read', request: block.BlockRequest, response: block.BlockResponse }

/** All that clients can see of a machine, read from the leader `peer`, in a form that can be compared. */
export async function stateOf(machine: 'counter' | 'atomic' | 'block', peer: string, ids: number): Promise<string> {
  const client = clientOf(peer)
  const must = (success: boolean, what: string) => {
    if (!success) throw new Error(`${peer} refused to read ${what}`)
  }
  try {
    if (machine === 'counter') {
      const { response } = await callBaiduStd(client, GET, {}, { timeoutMs: TIMEOUT_MS })
      must(response.success, 'the counter')
      return String(int64(response.value))
    }
    if (machine === 'atomic') {
      const values: string[] = []
      for (let id = 1; id <= ids; id++) {
        const { response } = await callBaiduStd(client, ATOMIC_GET, { id }, { timeoutMs: TIMEOUT_MS })
        must(response.success, `value ${id}`)
        values.push(`${id}=${int64(response.old_value)}`)
      }
      return values.join(' ')
    }
    const hash = createHash('sha256')
    let written = 0
    for (let offset = 0; offset < BLOCK_BYTES; offset += PIECE_BYTES) {
      const { response, attachment } = await callBaiduStd(client, BLOCK_READ, { offset, size: PIECE_BYTES }, { timeoutMs: TIMEOUT_MS })
      must(response.success, `the block at ${offset}`)
      // A file ends where it was last written, and one of ours reads on in zeros.
      const piece = Buffer.alloc(PIECE_BYTES)
      attachment.copy(piece)
      hash.update(piece)
      for (const byte of piece) if (byte !== 0) written += 1
    }
    return `${written} bytes written, ${hash.digest('hex')}`
  } finally {
    client.close()
  }
}
