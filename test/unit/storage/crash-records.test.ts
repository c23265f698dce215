import { test } from 'uvu'
import type { Standing } from '../../../src/raft/messages.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { NodeIdentity, RaftMeta } from '../../../src/raft/storage.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { checksum } from '../../../src/storage/checksum.js'
import { NodeIdentityStorage } from '../../../src/storage/node-identity.js'
import { FileRaftMetaStorage } from '../../../src/storage/raft-meta.js'
import { type CrashCase, checkCrashes } from '../../support/crash-enumerator.js'
import { peer } from '../../support/entries.js'
import { SeededRandom } from '../../support/fake-environment.js'

interface OpenMeta {
  readonly storage: FileRaftMetaStorage
  readonly found: RaftMeta | undefined
}

const textOf = (meta: RaftMeta) => `term ${meta.term} vote ${meta.votedFor}`
const vote = (term: number, votedFor = PeerId.EMPTY): RaftMeta => ({ term: asTerm(term), votedFor })

/** Term and vote saved one after the other: an answered save stays, and no more than the next one may be there. */
function metaCase(saves: readonly RaftMeta[], isNew = false): CrashCase<OpenMeta> {
  const states = [isNew ? vote(1) : vote(3, peer(2)), ...saves].map(textOf)
  return {
    title: `save ${states.slice(1).join(', ')}`,
    open: ({ disk: fileSystem, executor, call }) => {
      const storage = new FileRaftMetaStorage({
        fileSystem,
        executor,
        checksum,
        directory: '/data/raft_meta',
        integrityDirectory: '/data/raftctl',
      })
      const { status, value: found } = call<RaftMeta>((done) => storage.load(done))
      return { status, handle: { storage, found } }
    },
    ...(isNew ? {} : { prepare: ({ storage }, { call }) => void call<void>((done) => storage.save(vote(3, peer(2)), done)) }),
    steps: saves.map(
      (meta) =>
        ({ storage }, done) =>
          storage.save(meta, done),
    ),
    read: ({ found }) => textOf(found!),
    isLegal: (found, answered) => found === states[answered] || found === states[answered + 1],
    next: { run: ({ storage }, done) => storage.save(vote(99, peer(3)), done), makes: () => textOf(vote(99, peer(3))) },
  }
}

test('A02 every state that a power loss may leave of saving term and vote: neither goes back, no vote is given twice', () => {
  checkCrashes(
    50,
    metaCase([vote(4, peer(1))]),
    metaCase([vote(4), vote(4, peer(1)), vote(5), vote(6, new PeerId('10.10.10.103', 8103))]),
    metaCase([vote(2), vote(2, peer(1)), vote(3)], true),
  )
})

interface OpenIdentity {
  readonly storage: NodeIdentityStorage
}

/** The identity of a member from its first start on. Every start draws from another random source. */
function identityCase(standing: Standing): CrashCase<OpenIdentity> {
  let starts = 0
  /** What the first start told of it; then one change after the other. */
  let told: Record<string, unknown> | null = null
  const read = ({ storage }: OpenIdentity) => {
    const { standing: stands, incarnation, founders, settledAt = null } = storage.identity
    return {
      stands,
      incarnation,
      founders: founders && [...founders],
      settledAt,
      cluster: storage.clusterId,
      generation: storage.generation,
    }
  }
  const clusterId = 'c'.repeat(32)
  const founders = [[peer(1).key, 'f'.repeat(32)]] as const
  const changes = [{ cluster: clusterId }, { stands: 'member', founders, settledAt: 7 }, { generation: 2 }]
  const after = (answered: number) => JSON.stringify(Object.assign({}, told, ...changes.slice(0, answered)))
  return {
    title: `the identity of a ${standing}`,
    open: ({ disk: fileSystem, executor, call }) => {
      const random = new SeededRandom(++starts)
      const place = { fileSystem, executor, random, checksum, directory: '/data' }
      const storage = new NodeIdentityStorage({ ...place, clusterId: null, peerId: peer(1), name: 'n1' })
      return { status: call<NodeIdentity>((done) => storage.load(standing, done)).status, handle: { storage } }
    },
    steps: [
      (handle, done) => {
        told = read(handle)
        handle.storage.update({ clusterId }, done)
      },
      ({ storage }, done) => {
        const { incarnation } = storage.identity
        storage.save({ standing: 'member', incarnation, founders: new Map(founders), settledAt: logIndex(7) }, done)
      },
      ({ storage }, done) => storage.update({ generation: 2 }, done),
    ],
    read: (handle) => JSON.stringify(read(handle)),
    // Nobody was told of an identity before the first start was answered: another one may be drawn until then.
    isLegal: (found, answered) => told === null || found === after(answered) || found === after(answered + 1),
    next: {
      run: ({ storage }, done) => storage.update({ generation: 9 }, done),
      makes: (found) => JSON.stringify({ ...JSON.parse(found), generation: 9 }),
    },
  }
}

test('every state that a power loss may leave of an identity: once told it stays, and nothing of it is half changed', () => {
  checkCrashes(40, identityCase('founding'), identityCase('rebuilding'), identityCase('member'))
})

test.run()
