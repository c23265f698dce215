import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bootstrap } from '../../../src/raft/bootstrap.js'
import type { Done } from '../../../src/raft/closure.js'
import { Configuration } from '../../../src/raft/configuration.js'
import { ErrorCode, type Status } from '../../../src/raft/errors.js'
import { type Iterator, StateMachine } from '../../../src/raft/raft.js'
import type { SnapshotReader, SnapshotWriter } from '../../../src/raft/storage.js'
import { type LogIndex, logIndex, NO_INDEX } from '../../../src/raft/types.js'
import { checksum } from '../../../src/storage/checksum.js'
import { openStorage } from '../../../src/storage/open-storage.js'
import { readWholeFile } from '../../../src/storage/protobuf-file.js'
import type { GroupMember } from '../../../src/testing/group-member.js'
import { SimFileSystem } from '../../../src/testing/sim-file-system.js'
import { SimProcess } from '../../../src/testing/sim-process.js'
import { TestCluster } from '../../../src/testing/test-cluster.js'

/** A row of texts. */
class Rows extends StateMachine {
  constructor(public rows: string[] = []) {
    super()
  }

  onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) this.rows.push(iterator.data().toString())
  }

  override onSnapshotSave(writer: SnapshotWriter, done: Done): void {
    const { fileSystem, path } = writer
    const bytes = Buffer.from(this.rows.join())
    fileSystem.mkdir(`${path}/part`, (made) => {
      if (!made.ok) return done(made)
      fileSystem.open(`${path}/part/rows`, { write: true, create: true }, (opened, file) => {
        if (!opened.ok) return done(opened)
        file!.write([bytes], 0, (written) => file!.close((closed) => done(written.ok && closed.ok ? writer.addFile('part/rows') : written)))
      })
    })
  }

  override onSnapshotLoad({ fileSystem, path }: SnapshotReader, done: Done): void {
    readWholeFile(fileSystem, `${path}/part/rows`, (status, bytes) => {
      if (status.ok) this.rows = bytes!.toString().split(',')
      done(status)
    })
  }
}

const PAST = Array.from({ length: 26 }, (_, i) => String.fromCharCode(97 + i))

function cluster(size: number): TestCluster<Rows> {
  return new TestCluster({ size, createMachine: () => new Rows() })
}

/** Begins the group on the disk of a member that does not run; that disk then loses power. */
function begun(
  { scheduler, random, initialConf }: TestCluster<Rows>,
  member: GroupMember<Rows>,
  options: { lastLogIndex?: LogIndex; fsm?: StateMachine | null; groupConf?: Configuration; snapshots?: boolean } = {},
): Status {
  const { host, peerId, directory } = member
  const process = new SimProcess(scheduler, host.name, host.id, peerId.address, 0, random, { clockRate: 1, timerLatenessMs: 0 })
  const fileSystem = new SimFileSystem(scheduler, process, host.disk, host.profile, random)
  const { clock, executor } = process
  const own = random.fork(`bootstrap ${member.name}`)
  const storage = openStorage({ fileSystem, executor, clock, random: own, directory, peerId, clusterId: null, name: null })
  const { snapshots = true, ...others } = options
  const parts = snapshots ? storage : { ...storage, snapshotStorage: null }
  let outcome: Status | null = null
  scheduler.post(process, 'bootstrap', () =>
    bootstrap({ groupConf: initialConf, checksum, ...parts, ...others }, (status) => {
      outcome = status
    }),
  )
  scheduler.runUntil(scheduler.now + 1000)
  process.die()
  host.disk.crash(0)
  assert.ok(outcome, 'bootstrap did not answer')
  return outcome!
}

test('a group begins with the state of a machine as its snapshot, and goes on behind it', () => {
  const one = cluster(1)
  const [n1] = one.members
  const status = begun(one, n1!, { lastLogIndex: logIndex(26), fsm: new Rows([...PAST]) })
  assert.ok(status.ok, `${status}`)
  one.start()
  assert.equal(n1!.machine!.rows, PAST)
  const { snapshotId, firstIndex, configuration } = n1!.node!.status()
  assert.equal([snapshotId.index, snapshotId.term, firstIndex], [26, 1, 27])
  assert.is(configuration.conf.toString(), one.initialConf.toString())
  one.apply(Buffer.from('next'))
  assert.equal(
    one.read(n1!, ({ rows }) => rows),
    [...PAST, 'next'],
  )
  assert.is(n1!.node!.status().lastId.index, 29)
})

test('every founder that begins with the same state founds the group with the others, and whoever joins is given it', () => {
  const three = new TestCluster({ size: 3, joiners: 1, createMachine: () => new Rows() })
  for (const member of three.founders) assert.ok(begun(three, member, { lastLogIndex: logIndex(26), fsm: new Rows([...PAST]) }).ok)
  three
    .start()
    .apply(Buffer.from('next'))
    .change(...three.members)
  three.expectSameState(({ rows }) => rows.join())
  assert.equal(three.member('n4').machine!.rows, [...PAST, 'next'])
})

test('without a past only the configuration is written, as entry 1 of term 1', () => {
  const one = cluster(1)
  const [n1] = one.members
  assert.ok(begun(one, n1!, { snapshots: false }).ok)
  one.start()
  const { snapshotId, firstIndex, lastId } = n1!.node!.status()
  assert.equal([snapshotId.index, firstIndex, lastId.index, lastId.term], [0, 1, 2, 2])
})

test('a founder that began alone waits for the others of its configuration', () => {
  const three = cluster(3)
  const [n1, n2, n3] = three.members
  for (const member of three.members) assert.ok(begun(three, member).ok)
  three.start(n1)
  three.start(n2)
  three.run(5000)
  assert.is(three.leader(), null)
  three.start(n3)
  three.awaitConverged()
})

test('what cannot be a beginning is refused', () => {
  const one = cluster(1)
  const [n1] = one.members
  assert.is(begun(one, n1!, { groupConf: Configuration.EMPTY }).code, ErrorCode.EINVAL)
  assert.is(begun(one, n1!, { lastLogIndex: logIndex(1) }).code, ErrorCode.EINVAL)
  assert.is(begun(one, n1!, { lastLogIndex: logIndex(1), fsm: new Rows(), snapshots: false }).code, ErrorCode.EINVAL)
  assert.is(begun(one, n1!, { lastLogIndex: -1 as LogIndex }).code, ErrorCode.EINVAL)
  class Throws extends Rows {
    override onSnapshotSave(): void {
      throw new Error('no state')
    }
  }
  assert.match(String(begun(one, n1!, { lastLogIndex: logIndex(1), fsm: new Throws() })), /ESTATEMACHINE.*no state/)
})

test('a directory that holds anything is left as it is', () => {
  const one = cluster(1)
  const [n1] = one.members
  assert.ok(begun(one, n1!, { lastLogIndex: logIndex(26), fsm: new Rows([...PAST]) }).ok)
  const again = begun(one, n1!, { lastLogIndex: NO_INDEX })
  assert.is(again.code, ErrorCode.EEXIST)
  assert.match(again.message, 'a log [27, 27]')
  one.start()
  assert.equal(n1!.machine!.rows, PAST)
  one.crash(n1!)
  assert.is(begun(one, n1!).code, ErrorCode.EEXIST)
  one.start(n1!).awaitConverged()
  assert.equal(n1!.machine!.rows, PAST)
})

test.run()
