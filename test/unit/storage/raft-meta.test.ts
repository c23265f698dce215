import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { RaftMeta } from '../../../src/raft/storage.js'
import { asTerm } from '../../../src/raft/types.js'
import { checksum } from '../../../src/storage/checksum.js'
import { decodeMetaFile } from '../../../src/storage/meta-place.js'
import { FileRaftMetaStorage, META_CODEC } from '../../../src/storage/raft-meta.js'
import { LogBench } from '../../support/log-bench.js'

const FILE = '/data/raft_meta/raft_meta'
const SLOTS = ['/data/raftctl/meta.a', '/data/raftctl/meta.b'] as const

const meta = (term: number, vote?: number): RaftMeta => ({
  term: asTerm(term),
  votedFor: vote === undefined ? PeerId.EMPTY : new PeerId('127.0.0.1', vote),
})
const text = (value: RaftMeta | undefined) => (value ? `${value.term} ${value.votedFor}` : 'none')

class MetaBench extends LogBench {
  storage!: FileRaftMetaStorage

  /** Starts a process: a new storage, loaded. */
  start(options: { adopt?: boolean } = {}): { status: string; code: number; meta: string } {
    const { disk: fileSystem, executor } = this
    this.storage = new FileRaftMetaStorage({
      fileSystem,
      executor,
      checksum,
      directory: '/data/raft_meta',
      integrityDirectory: '/data/raftctl',
      ...options,
    })
    const answer = this.tryCall<RaftMeta>((done) => this.storage.load(done))
    return { status: answer?.status.toString() ?? 'stopped', code: answer?.status.code ?? -1, meta: text(answer?.value) }
  }

  save(value: RaftMeta): string {
    return this.tryCall<void>((done) => this.storage.save(value, done))?.status.toString() ?? 'stopped'
  }
}

/** A member that has saved these, one after the other. */
function saved(...values: RaftMeta[]): MetaBench {
  const bench = new MetaBench()
  bench.start()
  for (const value of values) assert.is(bench.save(value), 'OK')
  return bench
}

/** What a braft that is started now would go by. */
function stored(bench: MetaBench): string {
  const decoded = decodeMetaFile(bench.disk.bytesOf(FILE), META_CODEC, checksum)
  return 'problem' in decoded ? decoded.problem : text(decoded.message)
}

const braftFile = (hex: string) => Buffer.from(hex, 'hex')

test('an empty directory says term 1, no vote, and nothing is written before the first save', () => {
  const bench = new MetaBench()
  assert.is(bench.start().meta, '1 0.0.0.0:0:0:0')
  assert.equal(bench.disk.namesIn('/data/raft_meta'), [])
  assert.equal(bench.disk.namesIn('/data/raftctl'), [])
})

test('raft_meta has the bytes of braft, and behind them a checksum', () => {
  const bench = saved(meta(1))
  const hex = () => bench.disk.bytesOf(FILE).toString('hex')
  assert.match(hex(), /^000000110801120d302e302e302e303a303a303a30a4f1800f0{974}$/)
  bench.save(meta(2, 8100))
  assert.match(hex(), /^00000016080212123132372e302e302e313a383130303a303a30.{8}0{964}$/)
})

test('a raft_meta whose bytes do not fit its checksum is damaged, whatever they say', () => {
  for (let at = 0; at < 26 + 4; at++) {
    const bench = saved(meta(4), meta(5, 8101))
    bench.disk.flip(FILE, at)
    assert.is(bench.start().meta, text(meta(5, 8101)), `byte ${at}: the slot is right`)
    for (const slot of SLOTS) bench.disk.flip(slot, 100)
    bench.disk.flip(FILE, at)
    assert.is(bench.start().code, ErrorCode.ECORRUPT, `byte ${at}`)
  }
})

test('an answered save survives the loss of all that was not synced, in the file and in a slot', () => {
  const bench = saved(meta(2, 8100), meta(3), meta(3, 8101))
  bench.disk.crash(0)
  assert.is(stored(bench), '3 127.0.0.1:8101:0:0')
  assert.equal(bench.start(), { status: 'OK', code: 0, meta: '3 127.0.0.1:8101:0:0' })
  bench.disk.drop(FILE)
  assert.is(bench.start().meta, '3 127.0.0.1:8101:0:0')
  assert.ok(bench.disk.bytesOf(FILE).includes('127.0.0.1:8101:0:0'), 'mended')
})

test('raft_meta is replaced by the first save of a process; else it is written over', () => {
  const bench = new MetaBench()
  bench.start()
  const isReplaced = (value: RaftMeta) => {
    const before = bench.disk.operations.length
    assert.is(bench.save(value), 'OK')
    assert.is(stored(bench), text(value))
    return bench.disk.operations.slice(before).some((operation) => /^rename .*raft_meta/.test(operation))
  }
  assert.ok(isReplaced(meta(2)), 'the first')
  assert.not(isReplaced(meta(3, 8101)))
  assert.not(isReplaced(meta(4)))
  assert.is(bench.start().meta, text(meta(4)))
  assert.not(isReplaced(meta(5, 8102)), 'the start has replaced it')
  bench.disk.crash(0)
  assert.is(stored(bench), text(meta(5, 8102)))
  assert.not(isReplaced({ term: asTerm(2 ** 52), votedFor: new PeerId(Array(4).fill('h'.repeat(60)).join('.'), 8100) }), 'the longest')
})

test('A02 power lost at any operation of a save leaves the old pair or the new one, and the next save works', () => {
  let crashes = 0
  for (let at = 1; at <= 12; at++) {
    for (const last of ['not done', 'half done', 'done'] as const) {
      for (let seed = 1; seed <= 8; seed++) {
        for (const earlier of [[], [meta(4, 8100)], [meta(4, 8100), meta(5)], [meta(4), meta(4, 8101), meta(7)]]) {
          const bench = new MetaBench(1, seed)
          bench.start()
          for (const value of earlier) bench.save(value)
          const before = text(earlier.at(-1) ?? meta(1))
          const wanted = meta(9, 8103)
          bench.disk.stopAtChange(at, last)
          const answered = bench.save(wanted) !== 'stopped'
          if (!answered) crashes++
          bench.disk.crash(answered ? 0 : seed / 8)
          // No disk leaves half of a sector behind.
          if (earlier.length > 0 && last !== 'half done')
            assert.ok([before, text(wanted)].includes(stored(bench)), `braft reads ${stored(bench)}`)
          const found = bench.start()
          assert.is(found.status, 'OK', `operation ${at} ${last}, ${earlier.length} saves before`)
          assert.ok(found.meta === text(wanted) || (!answered && found.meta === before), found.meta)
          assert.is(bench.save(meta(10)), 'OK')
          bench.disk.crash(0)
          assert.is(bench.start().meta, text(meta(10)))
        }
      }
    }
  }
  assert.ok(crashes > 350, `${crashes} crashes`)
})

test('killed in a save, then power lost in the next start: the old pair or the new one, never a refusal', () => {
  for (let killedAt = 1; killedAt <= 7; killedAt++) {
    for (let lostAt = 1; lostAt <= 9; lostAt++) {
      for (const last of ['half done', 'done'] as const) {
        for (let seed = 1; seed <= 6; seed++) {
          const bench = new MetaBench(1, seed)
          bench.start()
          for (const value of [meta(4), meta(5, 8101), meta(6, 8102)]) bench.save(value)
          bench.disk.stopAtChange(killedAt, 'done')
          bench.save(meta(7, 8103))
          bench.disk.restart()
          bench.disk.stopAtChange(lostAt, last)
          const told = bench.start()
          bench.disk.crash(told.code === 0 ? 0 : seed / 6)
          const found = bench.start()
          assert.is(found.status, 'OK', `killed at ${killedAt}, lost at ${lostAt} ${last}`)
          if (told.code === 0) assert.is(found.meta, told.meta)
          else assert.ok([text(meta(6, 8102)), text(meta(7, 8103))].includes(found.meta), found.meta)
        }
      }
    }
  }
})

test('power lost while a start mends raft_meta changes nothing about the answer', () => {
  for (let at = 1; at <= 5; at++) {
    const bench = saved(meta(4, 8100))
    bench.disk.put(FILE, braftFile('0000'))
    bench.disk.stopAtChange(at, 'half done')
    assert.is(bench.start().status, 'stopped')
    bench.disk.crash()
    assert.is(bench.start().meta, text(meta(4, 8100)))
  }
})

test('H10 a damaged or outdated raft_meta is mended from the newest slot', () => {
  for (const hex of ['', '00000011', '00000016ffff', '000000110801120d302e302e302e303a303a303a30', '00000002087f']) {
    const bench = saved(meta(4, 8100), meta(5, 8101))
    bench.disk.put(FILE, braftFile(hex))
    assert.is(bench.start().meta, text(meta(5, 8101)), hex)
    assert.is(bench.start().meta, text(meta(5, 8101)))
  }
})

test('a raft_meta that no slot vouches for is refused: newer term, another vote, or a vote from nowhere', () => {
  const newer = '0000001608091212' + '3132372e302e302e313a383130303a303a30'
  const otherVote = '0000001608051212' + '3132372e302e302e313a383130303a303a30'
  for (const [values, hex] of [
    [[meta(4), meta(5, 8101)], newer],
    [[meta(4), meta(5, 8101)], otherVote],
    [[meta(4), meta(5)], otherVote],
  ] as const) {
    const bench = saved(...values)
    bench.disk.put(FILE, braftFile(hex))
    const refused = bench.start()
    assert.is(refused.code, ErrorCode.ECORRUPT)
    assert.match(refused.status, /term [59], vote for 127.0.0.1:8100:0:0, our newest record says term 5.*Restore \/data from a copy/)
    assert.is(bench.disk.bytesOf(FILE).toString('hex'), hex, 'nothing was changed')
  }
  const bench = saved(meta(4), meta(5, 8101))
  bench.disk.put(FILE, braftFile(newer))
  assert.is(bench.start({ adopt: true }).meta, text(meta(9, 8100)))
  assert.is(bench.start().meta, text(meta(9, 8100)), 'adopted for good')
})

test('what braft kept is not made up for by what we kept before', () => {
  const missing = saved(meta(4), meta(5, 8101))
  missing.disk.drop(FILE)
  const refused = missing.start({ adopt: true })
  assert.is(refused.code, ErrorCode.ECORRUPT)
  assert.match(refused.status, /raft_meta is missing, where braft kept its term and vote/)
  const damaged = saved(meta(4), meta(5, 8101))
  damaged.disk.put(FILE, Buffer.from('00000002087f', 'hex'))
  assert.is(damaged.start({ adopt: true }).code, ErrorCode.ECORRUPT)
  assert.is(damaged.start().meta, text(meta(5, 8101)), 'without braft the slot is right')
})

test('H10 damaged slots: the older one never counts, and no vote is ever guessed', () => {
  const newestGone = saved(meta(4), meta(5, 8101))
  newestGone.disk.flip(SLOTS[1], 30)
  assert.is(newestGone.start().code, ErrorCode.ECORRUPT)
  const olderGone = saved(meta(4), meta(5, 8101))
  olderGone.disk.flip(SLOTS[0], 30)
  assert.is(olderGone.start().meta, text(meta(5, 8101)))
  const bothGone = saved(meta(4), meta(5, 8101))
  for (const slot of SLOTS) bothGone.disk.flip(slot, 100)
  assert.match(bothGone.start().status, /ECORRUPT.*our records of term and vote are damaged/)
  bothGone.disk.drop(FILE)
  assert.match(bothGone.start().status, /ECORRUPT.*both records.*are damaged/)
})

test('every byte of a slot is covered by its checksum', () => {
  for (let at = 0; at < 512; at++) {
    const bench = saved(meta(4, 8100))
    bench.disk.flip(SLOTS[0], at)
    assert.is(bench.start().code, ErrorCode.ECORRUPT, `byte ${at}`)
  }
})

test('a failed save poisons the storage, ENOSPC keeps its code', () => {
  for (const code of [ErrorCode.EIO, ErrorCode.ENOSPC]) {
    const replaced = [/^write .*meta\.a/, /^create .*meta\.a/, /^datasync/, /^rename/, /^syncDir .*raft_meta/]
    const overwritten = [/^write .*meta\.b/, /^create .*meta\.b/, /^write .*raft_meta$/]
    const cases = [...replaced.map((each) => [[], each] as const), ...overwritten.map((each) => [[meta(4)], each] as const)]
    for (const [before, pattern] of cases) {
      const bench = saved(...before)
      const value = meta(5)
      bench.disk.refuse(pattern, code)
      const failed = bench.save(value)
      assert.match(failed, code === ErrorCode.EIO ? 'EIO' : 'ENOSPC', String(pattern))
      const written = bench.disk.operations.length
      assert.is(bench.save(meta(6)), failed)
      assert.is(bench.disk.operations.length, written, 'nothing more is written')
    }
  }
})

test('what a killed process left behind survives a power cut once it was read', () => {
  for (let change = 1; change <= 12; change++) {
    const bench = saved(meta(5, 7001))
    bench.disk.stopAtChange(change, 'done')
    bench.save(meta(6, 7002))
    bench.disk.restart()
    const told = bench.start()
    assert.is(told.status, 'OK')
    bench.disk.crash(0)
    assert.is(bench.start().meta, told.meta, `killed at change ${change}`)
  }
})

test.run()
