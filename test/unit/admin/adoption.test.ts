// Whether a directory that braft wrote may be taken over: what real nodes left, whole and damaged.
import { appendFileSync, cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AdoptionProblem, adoptionProblem } from '../../../src/admin/adoption.js'
import type { MachineKind } from '../../../src/machines/machine.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm } from '../../../src/raft/types.js'
import { frame } from '../../../src/storage/protobuf-file.js'
import { META_CODEC } from '../../../src/storage/raft-meta.js'
import { BRAFT_NODES, DataDirectories, everyFile, flip } from '../../support/data-directories.js'

const directories = new DataDirectories()
test.after(() => directories.remove())

const SEALED = 'log/log_00000000000000000038_00000000000000000068'
const OPEN = 'log/log_inprogress_00000000000000000069'
const SNAPSHOT = 'snapshot/snapshot_00000000000000000031'

/** Of the node on its own port, unless told otherwise. */
async function problem(dataDir: string, { port = 8500, machine = 'counter' as MachineKind, group = 'Counter' } = {}) {
  const before = everyFile(dataDir)
  const found = await adoptionProblem({ dataDir, group, machine, peerId: new PeerId('127.0.0.1', port) })
  assert.equal(everyFile(dataDir), before, 'it only looks')
  return found
}

function said(found: AdoptionProblem | null, dataDir: string): string | null {
  return found && `${found.code} ${found.message.replaceAll(`${dataDir}/`, '').replaceAll(dataDir, 'DIR')}`
}

test('what braft left is taken over by its own member, with either checksum', async () => {
  for (const [i, node] of BRAFT_NODES.entries()) {
    if (node === 'n2') continue
    for (const sums of ['crc32c', 'murmur32'] as const)
      assert.is(await problem(directories.braft(node, sums), { port: 8500 + i }), null, `${node} ${sums}`)
  }
})

test('not by somebody who is no member there', async () => {
  const path = directories.braft('n0')
  const found = await problem(path, { port: 8599 })
  assert.match(said(found, path)!, /^E_DATA_DIR DIR is of a group of 127\.0\.0\.1:8500:0:0, .*, and this node is 127\.0\.0\.1:8599:0:0/)
  // 8502 was replaced by 8503, and the newest configuration in its own log says so.
  assert.match((await problem(directories.braft('n2'), { port: 8502 }))!.message, 'or this one was removed')
})

test('damage is refused where it is: file, offset and index', async () => {
  const offset = (path: string, name: string, entry: number) => {
    const bytes = readFileSync(join(path, name))
    let at = 0
    for (let i = 0; i < entry; i++) at += 24 + bytes.readUInt32BE(at + 12)
    return at
  }
  for (const sums of ['crc32c', 'murmur32'] as const) {
    for (const [name, first] of [
      [SEALED, 38],
      [OPEN, 69],
    ] as const) {
      for (const inEntry of [8, 24]) {
        const path = directories.braft('n0', sums)
        const at = offset(path, name, 3)
        flip(join(path, name), at + inEntry)
        assert.match(
          said(await problem(path), path)!,
          `E_CORRUPT ${name} is damaged at offset ${at}, index ${first + 3}: the checksum of the`,
        )
      }
    }
  }
})

const damages: readonly { title: string; damage: (path: string) => void; expected: string | RegExp }[] = [
  {
    title: 'a sealed segment cut short',
    damage: (path) => truncateSync(join(path, SEALED), readFileSync(join(path, SEALED)).length - 1),
    expected: /log_00000000000000000038_00000000000000000068 is damaged at offset \d+, index 68: the data of the entry is cut short/,
  },
  {
    title: 'a tail of zeros',
    damage: (path) => appendFileSync(join(path, OPEN), Buffer.alloc(64)),
    expected: /log_inprogress_00000000000000000069 is damaged at offset \d+, index 83: nothing but zeros/,
  },
  {
    title: 'a segment that is gone',
    damage: (path) => rmSync(join(path, SEALED)),
    expected: 'entries 38 to 68 are missing before it',
  },
  {
    title: 'a log that starts behind the snapshot',
    damage: (path) => {
      rmSync(join(path, 'snapshot'), { recursive: true })
      rmSync(join(path, SEALED))
      rmSync(join(path, 'log/log_00000000000000000001_00000000000000000037'))
      writeFileSync(join(path, 'log/log_meta'), Buffer.from('000000020845', 'hex'))
    },
    expected: 'log_meta is damaged at offset 0, index 1: the log starts at index 69, and there is no snapshot: entries 1 to 68 are nowhere',
  },
  {
    title: 'a log without log_meta',
    damage: (path) => rmSync(join(path, 'log/log_meta')),
    expected: 'log/log_meta is damaged: missing beside 3 segments',
  },
  {
    title: 'a log_meta that does not parse',
    damage: (path) => writeFileSync(join(path, 'log/log_meta'), 'x'),
    expected: 'log/log_meta is damaged at offset 0',
  },
  {
    title: 'two open segments',
    damage: (path) => cpSync(join(path, OPEN), join(path, 'log/log_inprogress_00000000000000000099')),
    expected: '2 segments are open',
  },
  {
    title: 'a raft_meta that does not parse',
    damage: (path) => writeFileSync(join(path, 'raft_meta/raft_meta'), Buffer.from('00000004ffffffff', 'hex')),
    expected: 'raft_meta/raft_meta is damaged at offset 0',
  },
  {
    title: 'no raft_meta',
    damage: (path) => rmSync(join(path, 'raft_meta'), { recursive: true }),
    expected: 'raft_meta/raft_meta is missing, and entries are of term 3: its votes were lost',
  },
  {
    title: 'a raft_meta of before',
    damage: (path) =>
      writeFileSync(join(path, 'raft_meta/raft_meta'), frame(META_CODEC.encode({ term: asTerm(2), votedFor: PeerId.EMPTY }).finish())),
    expected: 'raft_meta/raft_meta says term 2, and entries are of term 3',
  },
  {
    title: 'a snapshot without its list',
    damage: (path) => rmSync(join(path, SNAPSHOT, '__raft_snapshot_meta')),
    expected: `${SNAPSHOT}/__raft_snapshot_meta is damaged at index 31: it is missing`,
  },
  {
    title: 'a snapshot without its file',
    damage: (path) => rmSync(join(path, SNAPSHOT, 'data')),
    expected: `${SNAPSHOT}/data is damaged at index 31: it is listed and missing`,
  },
  {
    title: 'a snapshot whose file is cut short',
    damage: (path) => truncateSync(join(path, SNAPSHOT, 'data'), 5),
    expected: `${SNAPSHOT}/data is damaged at offset 0, index 31: 1 of`,
  },
  {
    title: 'a snapshot under the name of another',
    damage: (path) => renameSync(join(path, SNAPSHOT), join(path, 'snapshot/snapshot_00000000000000000032')),
    expected: 'it ends at index 31, its directory is named 32',
  },
]

for (const { title, damage, expected } of damages)
  test(`refused: ${title}`, async () => {
    const path = directories.braft('n0')
    damage(path)
    const text = said(await problem(path), path)
    assert.ok(text?.startsWith('E_CORRUPT '), String(text))
    if (typeof expected === 'string') assert.ok(text!.includes(expected), text!)
    else assert.match(text!, expected)
  })

test('a tail that is too short for an entry is what braft cuts, and no damage', async () => {
  for (const bytes of [1, 23, 24, 27]) {
    const path = directories.braft('n0')
    appendFileSync(join(path, OPEN), readFileSync(join(path, OPEN)).subarray(0, bytes))
    assert.is(await problem(path), null, `${bytes} bytes`)
  }
})

test('a group of term 1 needs no raft_meta: nothing was voted for in it', async () => {
  assert.is(await problem(directories.firstTerm(), { port: 8100 }), null)
})

test('nothing, or nothing yet, is not taken over', async () => {
  const empty = join(directories.home, 'empty')
  mkdirSync(empty)
  assert.match(said(await problem(empty), empty)!, 'E_DATA_DIR DIR holds no data of a Raft node')
  const path = directories.braft('n0')
  for (const name of readdirSync(join(path, 'log')).filter((file) => file !== 'log_meta')) rmSync(join(path, 'log', name))
  rmSync(join(path, 'snapshot'), { recursive: true })
  assert.match(said(await problem(path), path)!, 'E_DATA_DIR DIR holds no entry and no snapshot')
})

test('a directory that was ours before stays with its member, its machine and its group', async () => {
  const path = directories.raftctl()
  const wrong = { port: 7001, group: 'kv', machine: 'kv' as MachineKind }
  assert.is(await problem(path, wrong), null)
  assert.match(said(await problem(path, { ...wrong, port: 7002 }), path)!, 'E_DATA_DIR DIR belongs to member 127.0.0.1:7001:0:0')
  assert.match(
    said(await problem(path, { ...wrong, machine: 'counter' }), path)!,
    'E_DATA_DIR DIR holds the kv machine, this node is to run counter',
  )
  assert.match(said(await problem(path, { ...wrong, group: 'Counter' }), path)!, 'E_DATA_DIR DIR holds no group Counter')
})

test('what we kept beside it says nothing about what braft wrote since', async () => {
  const path = directories.raftctl()
  // braft cut the newest entries, which were durable, and went on in a newer term.
  const open = readdirSync(join(path, 'log')).find((name) => name.includes('inprogress'))!
  rmSync(join(path, 'log', open))
  writeFileSync(
    join(path, 'raft_meta/raft_meta'),
    frame(META_CODEC.encode({ term: asTerm(9), votedFor: new PeerId('127.0.0.1', 7003) }).finish()),
  )
  assert.is(await problem(path, { port: 7001, group: 'kv', machine: 'kv' }), null)
})

test.run()
