import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checksum } from '../../../src/storage/checksum.js'
import { type FoundGroup, GroupDirectories } from '../../../src/storage/group-directories.js'
import { decodeGroupRecord, encodeGroupRecord, type GroupRecord } from '../../../src/storage/group-record.js'
import { type CrashCase, checkCrashes, type World } from '../../support/crash-enumerator.js'
import { peer } from '../../support/entries.js'

const record: GroupRecord = { group: 'a.b', machine: 'kv', uid: 'a'.repeat(32), founders: [peer(1), peer(2)].map(String) }
const other: GroupRecord = { ...record, group: 'other', uid: 'b'.repeat(32) }

interface Opened {
  readonly groups: GroupDirectories
  readonly found: readonly FoundGroup[]
}

/** What a node of the group leaves beside its record: enough to tell a whole directory from a part of one. */
function live({ disk, call }: World, groups: GroupDirectories, group: string): void {
  for (const name of ['log', 'raft_meta']) {
    const path = `${groups.of(group)}/${name}`
    call<void>((done) => disk.mkdir(path, done))
    call<void>((done) => disk.open(`${path}/file`, { write: true, create: true }, (_status, file) => file!.close(done)))
    call<void>((done) => disk.syncDir(path, done))
  }
  call<void>((done) => disk.syncDir(groups.of(group), done))
}

/** As far as a start may rely on it: its record, and whether anything of the node's is there. */
function groupsCase(title: string, parts: Pick<CrashCase<Opened>, 'prepare' | 'steps' | 'isLegal'>): CrashCase<Opened> {
  return {
    title,
    open: ({ disk, call }) => {
      const groups = new GroupDirectories(disk, checksum, '/data')
      const { status, value } = call<FoundGroup[]>((done) => groups.list(done))
      return { status, handle: { groups, found: value ?? [] } }
    },
    read: ({ found, groups }, { disk, call }) => {
      const names = (path: string) => call<string[]>((done) => disk.list(path, done)).value ?? []
      const text = (one: FoundGroup) => `${one.record?.uid[0] ?? `? ${one.name}`} ${names(groups.of(one.name)).join('+')}`
      const left = names('/data/groups').filter((name) => !found.some((one) => groups.of(one.name).endsWith(`/${name}`)))
      // A directory without anything in it that counts may stay: nobody promised anything there.
      const loose = left.filter((name) => names(`/data/groups/${name}`).some((inside) => inside !== 'raftctl'))
      return [...found.map(text), ...loose.map((name) => `left ${name}`)].join(', ')
    },
    ...parts,
    next: {
      run: ({ groups }, done) => groups.create(other, done),
      makes: (found) => [...(found === '' ? [] : [found]), 'b raftctl'].join(', '),
    },
  }
}

const WHOLE = 'a log+raft_meta+raftctl'

test('every state that a power loss may leave of creating and removing a group: it is there whole, or not at all', () => {
  const create = groupsCase('create a group', {
    steps: [({ groups }, done) => groups.create(record, done)],
    isLegal: (found, answered) => found === 'a raftctl' || (found === '' && answered === 0),
  })
  const prepare = ({ groups }: Opened, world: World) => {
    world.call<void>((done) => groups.create(record, done))
    live(world, groups, record.group)
  }
  const remove = groupsCase('remove a group', {
    prepare,
    steps: [({ groups }, done) => groups.remove(record.group, done)],
    isLegal: (found, answered) => found === '' || (found === WHOLE && answered === 0),
  })
  const anew = groupsCase('remove a group and create it anew', {
    prepare,
    steps: [({ groups }, done) => groups.remove(record.group, done), ({ groups }, done) => groups.create(record, done)],
    isLegal: (found, answered) =>
      (answered === 0 && found === WHOLE) || (answered < 2 && found === '') || (answered > 0 && found === 'a raftctl'),
  })
  checkCrashes(60, create, remove, anew)
})

test('the record of a group comes back as it was written, and a damaged one is refused', () => {
  const bytes = encodeGroupRecord(record, checksum)
  assert.equal(decodeGroupRecord(bytes, checksum), record)
  for (let at = 0; at < bytes.length - 1; at++) {
    const bad = Buffer.from(bytes)
    bad[at] = bad[at]! ^ 0x01
    const decoded = decodeGroupRecord(bad, checksum)
    assert.type(decoded, 'string', `byte ${at}`)
  }
})

test.run()
