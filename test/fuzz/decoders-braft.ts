import { readFileSync } from 'node:fs'
import { Status } from '../../src/raft/errors.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { decodeAppend, decodeFile } from '../../src/rpc/braft-requests.js'
import { standingIn } from '../../src/rpc/raft-stat-reader.js'
import { parseRaftStat, RaftStatError } from '../../src/rpc/raft-stat-text.js'
import { capturedFrames, FIXTURES } from '../support/rpc.js'
import { type Decoder, refusedBy } from './decoder.js'

const answers = (method: string) =>
  capturedFrames('counter-4-peers').filter((frame) => frame.kind === 'response' && frame.method === method && frame.body.length > 0)

/** What a braft follower answers to append_entries. */
const braftAppendAnswer: Decoder = {
  name: 'braft-append-answer',
  covers: ['src/rpc/braft-requests.ts decodeAppend'],
  samples: () =>
    answers('append_entries')
      .slice(0, 20)
      .map(({ body }) => body),
  run: (bytes) => {
    const outcome = refusedBy([Error], () => ({ value: decodeAppend(bytes) }))
    if ('refused' in outcome) return outcome
    const { term, lastLogIndex } = outcome.value as ReturnType<typeof decodeAppend>
    for (const number of [term, lastLogIndex])
      if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${number} was taken for a term or an index`)
    return outcome
  },
}

/** A piece of a file from a braft member: a length, the message, the attachment. */
const braftFilePiece: Decoder = {
  name: 'braft-file-piece',
  covers: ['src/rpc/braft-requests.ts decodeFile'],
  samples: () =>
    answers('get_file').map(({ body, attachment }) => Buffer.concat([Buffer.from([body.length]), body, attachment.subarray(0, 2000)])),
  run: (bytes) => {
    const cut = 1 + (bytes[0] ?? 0)
    const outcome = refusedBy([Error], () => ({
      value: decodeFile(bytes.subarray(1, cut), bytes.subarray(cut), { offset: 0, count: 4096 }),
    }))
    if ('refused' in outcome) return outcome
    const piece = outcome.value as ReturnType<typeof decodeFile>
    if (piece instanceof Status) return { refused: piece.message }
    if (piece.data.length > 4096) throw new Error(`${piece.data.length} bytes for 4096`)
    return outcome
  },
}

const raftStatPages: Decoder = {
  name: 'raft-stat-page',
  covers: ['src/rpc/raft-stat-text.ts parseRaftStat'],
  samples: () => [0, 1, 2, 3].map((n) => readFileSync(new URL(`counter-4-peers/raft_stat_${n}.txt`, FIXTURES))),
  run: (bytes) => {
    const page = bytes.toString()
    const standing = standingIn(page, PeerId.parse('127.0.0.1:8501')!)
    if (standing && !Number.isSafeInteger(standing.term)) throw new Error(`${standing.term} was taken for a term`)
    return refusedBy([RaftStatError], () => ({ value: parseRaftStat(page) }))
  },
}

export const BRAFT: readonly Decoder[] = [braftAppendAnswer, braftFilePiece, raftStatPages]
