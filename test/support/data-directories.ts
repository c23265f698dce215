import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { ConfigurationEntry } from '../../src/raft/configuration.js'
import { EntryBatch } from '../../src/raft/log-entry.js'
import { PeerId } from '../../src/raft/peer-id.js'
import type { NodeIdentity, RaftMeta } from '../../src/raft/storage.js'
import { asTerm, logIndex } from '../../src/raft/types.js'
import { checksum, crc32c, murmurChecksum } from '../../src/storage/checksum.js'
import { NodeIdentityStorage } from '../../src/storage/node-identity.js'
import { frame } from '../../src/storage/protobuf-file.js'
import { FileRaftMetaStorage } from '../../src/storage/raft-meta.js'
import { SNAPSHOT_LIST_CODEC } from '../../src/storage/snapshot-list.js'
import { batch, configuration, members } from './entries.js'
import { SeededRandom } from './fake-environment.js'
import { LogBench } from './log-bench.js'

export const BRAFT_FIXTURES = 'test/fixtures/braft/counter-4-peers'
export const BRAFT_NODES = ['n0', 'n1', 'n2', 'n3'] as const
/** Bytes of an entry whose data has ten, as every one but the configurations below has. */
export const ENTRY_BYTES = 34
export const SEGMENT_BYTES = 400
export const LAST_INDEX = 40

/** Directories below one temporary place. */
export class DataDirectories {
  readonly home = mkdtempSync(join(tmpdir(), 'raftctl-data-'))
  private made = 0

  /** A copy of what braft left in a node's directory; with the other checksum as a braft without a CRC instruction would have. */
  braft(node: (typeof BRAFT_NODES)[number], sums: 'crc32c' | 'murmur32' = 'crc32c'): string {
    const path = join(this.home, `braft-${++this.made}`)
    cpSync(join(BRAFT_FIXTURES, node, 'data'), path, { recursive: true })
    if (sums === 'murmur32') withMurmur(join(path, 'log'))
    return path
  }

  /**
   * What the storages of a stopped member left: a configuration and 39 entries of ten bytes, the last ten of term 3, in
   * segments of about 400 bytes; term 3 with a vote.
   */
  raftctl(): string {
    const path = join(this.home, `raftctl-${++this.made}`)
    const bench = stoppedMember()
    const copy = (at: string) => {
      for (const name of bench.disk.namesIn(at)) {
        const file = `${at}/${name}`
        if (bench.disk.namesIn(file).length > 0) copy(file)
        else put(join(path, file.replace('/data/', '')), bench.disk.bytesOf(file))
      }
    }
    copy('/data')
    return path
  }

  /** What braft's bootstrap makes: one configuration of term 1, and no raft_meta. */
  firstTerm(): string {
    const path = join(this.home, `first-${++this.made}`)
    put(join(path, 'log/log_meta'), Buffer.from('000000020801', 'hex'))
    put(join(path, 'log/log_inprogress_00000000000000000001'), batch(1, 1, [configuration(members(8100, 8101))]).bytes)
    return path
  }

  remove(): void {
    rmSync(this.home, { recursive: true, force: true })
  }
}

function stoppedMember(): LogBench {
  const bench = new LogBench(SEGMENT_BYTES)
  const { disk: fileSystem, executor } = bench
  const identity = new NodeIdentityStorage({
    ...{ fileSystem, executor, checksum, random: new SeededRandom(1), directory: '/data', clusterId: 'c'.repeat(32) },
    ...{ peerId: new PeerId('127.0.0.1', 7001), name: 'n1' },
  })
  assert.ok(bench.call<NodeIdentity>((done) => identity.load('member', done)).status.ok)
  const meta = new FileRaftMetaStorage({
    fileSystem,
    executor,
    checksum,
    directory: '/data/raft_meta',
    integrityDirectory: '/data/raftctl',
  })
  assert.ok(bench.call<RaftMeta>((done) => meta.load(done)).status.ok)
  for (const [term, vote] of [
    [2, 7001],
    [3, 7002],
  ] as const)
    assert.ok(bench.call<void>((done) => meta.save({ term: asTerm(term), votedFor: new PeerId('127.0.0.1', vote) }, done)).status.ok)
  assert.ok(bench.open().ok)
  assert.ok(bench.append(batch(1, 2, [configuration(members(7001, 7002, 7003))])).ok)
  for (let index = 2; index <= LAST_INDEX; index++)
    assert.ok(bench.append(batch(index, index <= 30 ? 2 : 3, [`entry ${String(index).padStart(4, '0')}`])).ok)
  assert.ok(bench.close().ok)
  return bench
}

/** Gives every entry of a log the other checksum. */
function withMurmur(log: string): void {
  for (const name of readdirSync(log).filter((file) => file !== 'log_meta')) {
    const parsed = EntryBatch.parse(logIndex(1), readFileSync(join(log, name)), checksum).batch!
    const entries = Array.from({ length: parsed.count }, (_, i) => {
      const index = logIndex(i + 1)
      return EntryBatch.encode(index, parsed.termAt(index), [{ type: parsed.typeAt(index), data: parsed.dataAt(index) }], murmurChecksum)
        .bytes
    })
    writeFileSync(join(log, name), Buffer.concat(entries))
  }
}

/** Puts a snapshot of one file, with its checksum, into a directory; answers the file. */
export function putSnapshot(directory: string, snapshot: { readonly index: number; readonly term: number; readonly data: Buffer }): string {
  const { index, term, data } = snapshot
  const path = join(directory, 'snapshot', `snapshot_${String(index).padStart(20, '0')}`)
  const lastIncluded = { index: logIndex(index), term: asTerm(term) }
  const meta = { lastIncluded, configuration: new ConfigurationEntry(lastIncluded, members(7001, 7002, 7003)) }
  const file = { checksum: `crc32c:${crc32c(data).toString(16).padStart(8, '0')}`, size: data.length }
  put(join(path, '__raft_snapshot_meta'), frame(SNAPSHOT_LIST_CODEC.encode({ meta, files: new Map([['data', file]]) }).finish()))
  put(join(path, 'data'), data)
  return join(path, 'data')
}

function put(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, bytes)
}

/** Flips every bit of one byte. */
export function flip(path: string, offset: number): void {
  const bytes = readFileSync(path)
  bytes[offset] = bytes[offset]! ^ 0xff
  writeFileSync(path, bytes)
}

/** Path of each file below a directory, and what it holds. */
export function everyFile(directory: string): Map<string, string> {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()
  const files = names.filter((name) => statSync(join(directory, name)).isFile())
  return new Map(files.map((name) => [name, readFileSync(join(directory, name)).toString('hex')]))
}
