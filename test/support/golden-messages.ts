import { Configuration, ConfigurationEntry } from '../../src/raft/configuration.js'
import type { PeerCalls, PeerMethod } from '../../src/raft/messages.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../src/raft/types.js'

/** One message of each kind between members, every field set to something that is not its default. */
export const GOLDEN: { readonly [M in PeerMethod]: PeerCalls[M] } = (() => {
  const [n1, n2, n3] = [1, 2, 3].map((i) => new PeerId(`10.0.0.${i}`, 7000 + i)) as [PeerId, PeerId, PeerId]
  const addressed = { groupId: 'kv/ü', serverId: n1, peerId: n2 }
  const id = { index: logIndex(2 ** 40 + 1), term: asTerm(300) }
  const vote: PeerCalls['requestVote'] = {
    request: {
      ...addressed,
      term: asTerm(301),
      lastLogTerm: asTerm(300),
      lastLogIndex: logIndex(2 ** 40),
      disruptedLeader: { peerId: n3, term: asTerm(299) },
    },
    response: { term: asTerm(301), granted: true, disrupted: true, previousTerm: asTerm(300), rejectedByLease: true },
  }
  const configuration = new ConfigurationEntry(id, new Configuration([n1, n2]), new Configuration([n1, n3]), [], logIndex(77))
  return {
    hello: {
      request: { ...addressed, incarnation: 'ab'.repeat(16), standing: 'rebuilding' },
      response: {
        incarnation: 'cd'.repeat(16),
        standing: 'member',
        bootId: 'ef'.repeat(16),
        founders: new Map([[n1.key, 'ab'.repeat(16)]]),
        lastLogIndex: logIndex(12345),
      },
    },
    preVote: vote,
    requestVote: vote,
    timeoutNow: {
      request: { ...addressed, term: asTerm(301), oldLeaderSteppedDown: true },
      response: { term: asTerm(302), success: true },
    },
    installSnapshot: {
      request: {
        ...addressed,
        term: asTerm(301),
        meta: { lastIncluded: id, configuration },
        uri: 'remote://10.0.0.1:7001/9007199254740993',
      },
      response: { term: asTerm(301), success: true },
    },
    getFile: {
      request: { ...addressed, readerId: '-9007199254740993', filename: 'parts/ü', offset: 2 ** 33, count: 65536 },
      response: { eof: true, data: Buffer.from('piece of a file'), crc32c: 0xfedcba98 },
    },
    settle: {
      request: { ...addressed, term: asTerm(301), incarnation: 'ab'.repeat(16), upTo: id },
      response: { term: asTerm(301), settled: true },
    },
    readIndex: { request: { ...addressed, mode: 'confirmed' as const }, response: { index: logIndex(2 ** 40 + 7) } },
    release: { request: { ...addressed, term: asTerm(301) }, response: { term: asTerm(301) } },
  }
})()
