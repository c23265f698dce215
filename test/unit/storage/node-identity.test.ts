import { createHash } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, type Status } from '../../../src/raft/errors.js'
import { PeerId, PeerRole } from '../../../src/raft/peer-id.js'
import type { NodeIdentity } from '../../../src/raft/storage.js'
import { logIndex } from '../../../src/raft/types.js'
import { checksum } from '../../../src/storage/checksum.js'
import { manualClusterId } from '../../../src/storage/cluster-id.js'
import { decodeIdentity, type IdentityRecord } from '../../../src/storage/identity-file.js'
import { type NodeIdentityOptions, NodeIdentityStorage } from '../../../src/storage/node-identity.js'
import { SeededRandom } from '../../support/fake-environment.js'
import { LogBench } from '../../support/log-bench.js'

const FILE = '/data/raftctl/node.json'
const N1 = new PeerId('127.0.0.1', 7001)
const CLUSTER = '0123456789abcdef0123456789abcdef'

class IdentityBench extends LogBench {
  storage!: NodeIdentityStorage
  private starts = 0

  start(
    options: Partial<NodeIdentityOptions> = {},
    standing: 'founding' | 'rebuilding' | 'member' = 'founding',
  ): { status: Status; value: NodeIdentity | undefined } | null {
    const { disk: fileSystem, executor } = this
    const random = new SeededRandom(++this.starts)
    this.storage = new NodeIdentityStorage({
      fileSystem,
      executor,
      random,
      checksum,
      directory: '/data',
      clusterId: null,
      peerId: N1,
      name: 'n1',
      ...options,
    })
    return this.tryCall<NodeIdentity>((done) => this.storage.load(standing, done))
  }
}

test('an empty directory gets the standing it was started with and an incarnation that stays', () => {
  const bench = new IdentityBench()
  const first = bench.start()!.value!
  assert.is(first.standing, 'founding')
  assert.match(first.incarnation, /^[0-9a-f]{32}$/)
  assert.is(first.founders, null)
  bench.disk.crash(0)
  const again = bench.start({}, 'member')!.value!
  assert.equal(again, first, 'what is stored counts, not what the process was started with')
  const other = new IdentityBench()
  other.start()
  other.disk.drop(FILE)
  assert.is.not(other.start()!.value!.incarnation, first.incarnation)
})

test('a directory that was to found a group and never did can still be rebuilt; one that did is what it is', () => {
  const bench = new IdentityBench()
  const { incarnation } = bench.start()!.value!
  assert.equal(bench.start({}, 'rebuilding')!.value, { standing: 'rebuilding', incarnation, founders: null })
  bench.disk.crash(0)
  assert.is(bench.start()!.value!.standing, 'rebuilding', 'it is durable, and no way leads back')
  bench.storage.save({ standing: 'member', incarnation, founders: null }, (status) => assert.is(status.ok, true))
  bench.call<void>((done) => bench.storage.update({ generation: 2 }, done))
  assert.is(bench.start({}, 'rebuilding')!.value!.standing, 'member')
})

test('standing, founders, cluster, name and generation are kept', () => {
  const bench = new IdentityBench()
  const { incarnation } = bench.start()!.value!
  const founders = new Map([
    ['127.0.0.1:7001:0', incarnation],
    ['127.0.0.1:7002:0', 'ff'.repeat(16)],
  ])
  const identity: NodeIdentity = { standing: 'member', incarnation, founders }
  bench.storage.save(identity, (status) => assert.is(status.ok, true))
  assert.is(bench.call<void>((done) => bench.storage.update({ clusterId: CLUSTER, generation: 4 }, done)).status.ok, true)
  bench.disk.crash(0)
  assert.equal(bench.start()!.value, identity)
  assert.equal([bench.storage.clusterId, bench.storage.name, bench.storage.generation], [CLUSTER, 'n1', 4])
  bench.start({ name: 'renamed' })
  bench.start({ name: null })
  assert.is(bench.storage.name, 'renamed')
})

test('another cluster, another member: refused, and told apart', () => {
  const bench = new IdentityBench()
  bench.start({ clusterId: CLUSTER })
  const cluster = bench.start({ clusterId: 'f'.repeat(32) })!
  assert.is(cluster.status.code, ErrorCode.EINVAL)
  assert.match(cluster.status.message, `/data belongs to cluster ${CLUSTER}, not to ${'f'.repeat(32)}`)
  assert.is(bench.storage.refusal, 'cluster')
  const peer = bench.start({ peerId: new PeerId('127.0.0.1', 7002) })!
  assert.is(peer.status.code, ErrorCode.EINVAL)
  assert.match(peer.status.message, 'belongs to member 127.0.0.1:7001:0:0, this node is 127.0.0.1:7002:0:0')
  assert.is(bench.storage.refusal, 'peer')
  assert.is(bench.start({ clusterId: CLUSTER })!.status.ok, true)
  assert.is(bench.start()!.status.ok, true, 'who was told no cluster takes the one that is stored')
  assert.is(bench.storage.clusterId, CLUSTER)
})

test('a directory with a past and without an identity is refused, whatever is left of the past', () => {
  for (const [path, named] of [
    ['/data/log/log_inprogress_00000000000000000001', 'log/log_inprogress'],
    ['/data/log/log_00000000000000000001_00000000000000000009', 'log/log_0'],
    ['/data/raft_meta/raft_meta', 'raft_meta/raft_meta'],
    ['/data/snapshot/snapshot_00000000000000000031/data', 'snapshot/snapshot_'],
    ['/data/raftctl/meta.b', 'raftctl/meta.b'],
  ] as const) {
    const bench = new IdentityBench()
    bench.disk.put(path, Buffer.from('x'))
    const refused = bench.start()!
    assert.is(refused.status.code, ErrorCode.ECORRUPT, path)
    assert.match(refused.status.message, `/data holds ${named}`)
    assert.match(refused.status.message, 'no raftctl/node.json')
    assert.is(bench.storage.refusal, 'unknown-past')
    assert.not.ok(bench.disk.namesIn('/data/raftctl').includes('node.json'))
    assert.is(bench.start({ adopt: true })!.value!.standing, 'member', 'with a past nobody founds')
    assert.is(bench.start()!.status.ok, true)
  }
})

test('an empty log, as a first start that failed leaves it, is no past', () => {
  const bench = new IdentityBench()
  bench.open()
  assert.is(bench.start()!.value!.standing, 'founding')
})

test('a damaged identity is refused: any byte', () => {
  const original = new IdentityBench()
  original.start({ clusterId: CLUSTER })
  const { length } = original.disk.bytesOf(FILE)
  for (let at = 0; at < length - 1; at++) {
    const bench = new IdentityBench()
    bench.start({ clusterId: CLUSTER })
    bench.disk.flip(FILE, at, 0x01)
    const status = bench.start()!.status
    // A change of white space between fields changes nothing that counts.
    if (!status.ok) {
      assert.is(status.code, ErrorCode.ECORRUPT, `byte ${at}: ${status}`)
      assert.match(status.message, `${FILE} is damaged`)
    } else assert.match(original.disk.bytesOf(FILE).toString('latin1', at, at + 1), /\s/)
  }
})

test('power lost at any operation of the first start or of a save', () => {
  for (let at = 1; at <= 8; at++) {
    for (const last of ['not done', 'half done', 'done'] as const) {
      const first = new IdentityBench(1, at)
      first.disk.stopAtChange(at, last)
      first.start()
      first.disk.crash()
      assert.is(first.start()!.status.toString(), 'OK')

      const later = new IdentityBench(1, at)
      const identity = later.start()!.value!
      later.disk.stopAtChange(at, last)
      const answered = later.tryCall<void>((done) => later.storage.save({ ...identity, standing: 'rebuilding' }, done)) !== null
      later.disk.crash(answered ? 0 : 0.5)
      const found = later.start()!.value!
      assert.ok(found.standing === 'rebuilding' || (!answered && found.standing === 'founding'))
      assert.is(found.incarnation, identity.incarnation)
    }
  }
})

test('a failed save poisons the identity', () => {
  const bench = new IdentityBench()
  const identity = bench.start()!.value!
  bench.disk.refuse(/^datasync/, ErrorCode.EIO)
  const save = () => bench.call<void>((done) => bench.storage.save(identity, done)).status.code
  assert.is(save(), ErrorCode.EIO)
  assert.is(save(), ErrorCode.EIO)
})

test('a directory of before a member could be removed is read, and a removal that says nothing is damage', () => {
  const old = {
    clusterId: null,
    peerId: '127.0.0.1:7001:0:0',
    name: null,
    standing: 'member',
    incarnation: 'a',
    generation: 1,
    founders: null,
  }
  const written = (more: object) => {
    const print = (value: object) => JSON.stringify(value, null, 2)
    const body = { format: 1, ...old, ...more }
    return Buffer.from(
      print({
        ...body,
        crc32c: checksum
          .crc32c(Buffer.from(print(body)))
          .toString(16)
          .padStart(8, '0'),
      }),
    )
  }
  assert.is((decodeIdentity(written({}), checksum) as IdentityRecord).removed, null)
  const removed = { reason: 'why', members: ['a:1'] }
  assert.equal((decodeIdentity(written({ removed }), checksum) as IdentityRecord).removed, removed)
  assert.type(decodeIdentity(written({ removed: { reason: 'why' } }), checksum), 'string')
})

test('the id of a manual cluster depends on the token and on every founder, not on their order', () => {
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  const founders: [string, string][] = [
    ['127.0.0.1:7001:0', 'aa'],
    ['127.0.0.1:7002:0', 'bb'],
  ]
  const id = (bootstrapToken: string, of: [string, string][]) => manualClusterId({ bootstrapToken, founders: new Map(of), sha256 })
  const expected = id('token', founders)
  assert.match(expected, /^[0-9a-f]{32}$/)
  assert.is(id('token', [...founders].reverse()), expected)
  const others = [
    id('', founders),
    id('token', [founders[0]!]),
    id('token', [founders[0]!, ['127.0.0.1:7002:0', 'cc']]),
    id('token', [founders[0]!, ['127.0.0.1:7003:0', 'bb']]),
  ]
  assert.is(new Set([expected, ...others]).size, 5)
})

/** A directory that took part as N1, and whose member is to be elsewhere. */
function member(): { bench: IdentityBench; incarnation: string } {
  const bench = new IdentityBench()
  const { incarnation } = bench.start()!.value!
  const settled = { standing: 'member' as const, incarnation, founders: null, settledAt: logIndex(7) }
  bench.call<void>((done) => bench.storage.save(settled, done))
  return { bench, incarnation }
}

const N2 = new PeerId('127.0.0.2', 7001)
const N3 = new PeerId('127.0.0.3', 7001)

test('at another address a directory is refused, unless it moved; then it counts for nothing until it was settled there', () => {
  const { bench, incarnation } = member()
  assert.equal([bench.start({ peerId: N2 })!.status.code, bench.storage.refusal], [ErrorCode.EINVAL, 'peer'])
  const there = bench.start({ peerId: N2, moved: true })!.value!
  assert.equal([there.standing, there.incarnation, there.settledAt], ['rebuilding', incarnation, undefined])
  assert.equal(bench.storage.movedFrom, [String(N1)])
  bench.disk.crash(0)
  assert.is(bench.start({ peerId: N2 })!.value!.standing, 'rebuilding', 'it is durable before anything is said there')
  assert.equal(bench.storage.movedFrom, [String(N1)])
})

test('a move that was not settled can be taken back: it said nothing there, and is who it was', () => {
  const { bench, incarnation } = member()
  bench.start({ peerId: N2, moved: true })
  bench.start({ peerId: N3, moved: true })
  assert.equal(bench.storage.movedFrom, [String(N1), String(N2)])
  assert.equal(bench.start()!.value, { standing: 'member', incarnation, founders: null, settledAt: logIndex(7) })
})

test('once it was settled elsewhere a directory is not who it was: what it said there binds it', () => {
  const { bench, incarnation } = member()
  bench.start({ peerId: N2, moved: true })
  const settled = { standing: 'member' as const, incarnation, founders: null, settledAt: logIndex(9) }
  bench.call<void>((done) => bench.storage.save(settled, done))
  assert.equal([bench.start()!.status.code, bench.storage.refusal], [ErrorCode.EINVAL, 'peer'])
  assert.is(bench.start({ moved: true })!.value!.standing, 'rebuilding')
  assert.equal(bench.start({ peerId: N2 })!.value, settled, 'back where it was settled')
})

test('a directory that was settled elsewhere and then has to be rebuilt there cannot become who it was before', () => {
  const { bench, incarnation } = member()
  bench.start({ peerId: N2, moved: true })
  const settled = { standing: 'member' as const, incarnation, founders: null, settledAt: logIndex(9) }
  bench.call<void>((done) => bench.storage.save(settled, done))
  assert.equal(bench.storage.movedFrom, [])
  bench.call<void>((done) => bench.storage.save({ ...settled, standing: 'rebuilding' }, done))
  assert.equal([bench.start()!.status.code, bench.storage.refusal], [ErrorCode.EINVAL, 'peer'])
})

test('a directory is of a witness or of a member with data for good, but for one that never took part', () => {
  const { bench } = member()
  const witness = new PeerId(N1.host, N1.port, 0, PeerRole.WITNESS)
  const { status } = bench.start({ peerId: witness })!
  assert.equal([status.code, bench.storage.refusal], [ErrorCode.EINVAL, 'peer'])
  assert.match(status.message, 'belongs to a member that holds data, and this node is a witness: remove the member, and add it again')
  const moved = new PeerId(N2.host, N2.port, 0, PeerRole.WITNESS)
  assert.is(bench.start({ peerId: moved, moved: true })!.status.code, ErrorCode.EINVAL)
  assert.is(bench.start()!.value!.standing, 'member')

  const fresh = new IdentityBench()
  fresh.start()
  assert.is(fresh.start({ peerId: witness })!.value!.standing, 'founding')
  fresh.call<void>((done) => fresh.storage.save({ standing: 'member', incarnation: 'ab', founders: null }, done))
  assert.match(fresh.start()!.status.message, 'belongs to a witness, and this node is a member that holds data')
})

test('a founder that never took part is at another address at once', () => {
  const bench = new IdentityBench()
  bench.start()
  assert.is(bench.start({ peerId: N2, moved: true })!.value!.standing, 'founding')
  assert.equal(bench.storage.movedFrom, [])
})

test.run()
