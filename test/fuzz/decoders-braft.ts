import { readFileSync } from 'node:fs'
import { parseRaftStat, RaftStatError } from '../../src/rpc/raft-stat-text.js'
import { FIXTURES } from '../support/rpc.js'
import { type Decoder, refusedBy } from './decoder.js'

const raftStatPages: Decoder = {
  name: 'raft-stat-page',
  covers: ['src/rpc/raft-stat-text.ts parseRaftStat'],
  samples: () => [0, 1, 2, 3].map((n) => readFileSync(new URL(`counter-4-peers/raft_stat_${n}.txt`, FIXTURES))),
  run: (bytes) => refusedBy([RaftStatError], () => ({ value: parseRaftStat(bytes.toString()) })),
}

export const BRAFT: readonly Decoder[] = [raftStatPages]
