import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type NodeFlags, parseConfiguration } from '../../../src/server/configuration.js'
import { StartError } from '../../../src/server/start-error.js'
import { ERRORS } from '../../../src/terminal/errors.js'

const good: NodeFlags = {
  listen: '127.0.0.1:7001',
  data: './n1',
  group: 'kv',
  electionTimeout: '1000ms',
  logLevel: 'info',
}
const PEERS = '127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003'

function refusal(flags: Partial<NodeFlags>): string {
  try {
    parseConfiguration({ ...good, ...flags })
  } catch (error) {
    assert.instance(error, StartError)
    assert.is((error as StartError).code, 'E_USAGE')
    assert.ok((error as StartError).hint.length > 0)
    return (error as StartError).message
  }
  return ''
}

test('one node needs nothing but an address and a directory', () => {
  const configuration = parseConfiguration(good)
  assert.is(configuration.peerId.toString(), '127.0.0.1:7001:0:0')
  assert.is(configuration.initialConf.toString(), '127.0.0.1:7001:0:0')
  assert.is(configuration.name, '127.0.0.1:7001')
  assert.is(configuration.clusterId, null)
  assert.is(configuration.electionTimeoutMs, 1000)
  assert.ok(configuration.dataDir.startsWith('/'))
})

test('names go along with peers, and the own one with them', () => {
  const configuration = parseConfiguration({ ...good, peers: PEERS, names: 'a,b,c', advertise: '127.0.0.1:7002', listen: '0.0.0.0:7002' })
  assert.is(configuration.name, 'b')
  assert.equal(Object.fromEntries(configuration.names), { '127.0.0.1:7001:0': 'a', '127.0.0.1:7002:0': 'b', '127.0.0.1:7003:0': 'c' })
  assert.equal(configuration.listen, { host: '0.0.0.0', port: 7002 })
  assert.is(configuration.initialConf.size, 3)
})

test('a group runs the key-value store, or the machine that is named behind it', () => {
  const read = (group: string) => {
    const configuration = parseConfiguration({ ...good, group })
    return [configuration.group, configuration.machine]
  }
  assert.equal(read('kv'), ['kv', 'kv'])
  assert.equal(read('Counter=counter'), ['Counter', 'counter'])
  assert.equal(read('a.b=atomic'), ['a.b', 'atomic'])
  assert.is(parseConfiguration(good).checksum, 'crc32c')
  assert.is(parseConfiguration({ ...good, checksum: 'murmur32' }).checksum, 'murmur32')
})

test('what braft cannot do is refused where its nodes may be members, with exit code 6', () => {
  const refused = (flags: Partial<NodeFlags>): string => {
    try {
      parseConfiguration({ ...good, mixed: true, ...flags })
    } catch (error) {
      assert.is((error as StartError).code, 'E_MIXED')
      assert.ok((error as StartError).hint.length > 0)
      return (error as StartError).message
    }
    return ''
  }
  assert.match(refused({ rebuild: true }), 'cannot rebuild a member')
  assert.match(refused({ moved: true }), 'no members that change their address')
  assert.match(refused({ leaderLease: true }), 'no leader leases')
  assert.match(refused({ listen: '[::1]:7001' }), 'not as [::1]:7001')
  assert.match(refused({ listen: 'db1:7001' }), 'not as db1:7001')
  assert.match(refused({ peers: `${PEERS},db4:7001` }), 'not as db4:7001')
  assert.match(refused({ join: 'db4:7001' }), 'not as db4:7001')
  assert.is(ERRORS.E_MIXED.exitCode, 6)
  assert.is(parseConfiguration({ ...good, mixed: true, peers: PEERS }).mixed, true)
  assert.is(parseConfiguration({ ...good, peers: `${PEERS},db4:7001`, leaderLease: true }).mixed, false)
})

test('members speak gRPC unless they are told otherwise', () => {
  assert.is(parseConfiguration(good).transport, 'grpc')
  assert.is(parseConfiguration({ ...good, transport: 'baidu_std' }).transport, 'baidu_std')
  assert.match(refusal({ transport: 'tcp' }), '--transport "tcp" is no transport')
})

test('durations are milliseconds or seconds', () => {
  assert.is(parseConfiguration({ ...good, electionTimeout: '1.5s' }).electionTimeoutMs, 1500)
  assert.is(parseConfiguration({ ...good, electionTimeout: '250' }).electionTimeoutMs, 250)
})

test('who joins has no configuration of its own and rebuilds; a rebuilding member keeps its peers for a directory that is used', () => {
  const joining = parseConfiguration({ ...good, join: '127.0.0.1:7001, 127.0.0.1:7002', listen: '127.0.0.1:7002' })
  assert.equal([joining.initialConf.isEmpty, joining.standing, joining.join.join()], [true, 'rebuilding', '127.0.0.1:7001:0:0'])
  const rebuilding = parseConfiguration({ ...good, peers: PEERS, rebuild: true })
  assert.equal([rebuilding.initialConf.size, rebuilding.standing], [3, 'rebuilding'])
  assert.is(parseConfiguration(good).standing, 'founding')
})

test('snapshots: an interval, 0 for on demand, and a rate with or without a unit', () => {
  const read = (snapshotInterval?: string, snapshotMaxRate?: string) => {
    const { snapshotIntervalMs, snapshotBytesPerSecond } = parseConfiguration({ ...good, snapshotInterval, snapshotMaxRate })
    return [snapshotIntervalMs, snapshotBytesPerSecond]
  }
  assert.equal(read(), [3_600_000, 0])
  assert.equal(read('0', '4096'), [0, 4096])
  assert.equal(read('90s', '50MB/s'), [90_000, 50_000_000])
  assert.equal(read('15m', '1.5MiB'), [900_000, 1_572_864])
})

test('every write is durable unless a flag that says so wants it otherwise', () => {
  const syncOf = (unsafeSync?: string) => parseConfiguration({ ...good, unsafeSync }).sync
  assert.equal(syncOf(), { when: 'immediately' })
  assert.equal(syncOf('never'), { when: 'never' })
  assert.equal(syncOf('4MiB'), { when: 'by-bytes', bytes: 4 * 1024 * 1024 })
  assert.equal(syncOf('1'), { when: 'by-bytes', bytes: 1 })
})

for (const [what, flags, says] of [
  ['itself is missing from --peers', { peers: '127.0.0.1:7002' }, 'missing from --peers'],
  ['a member is named twice', { peers: `${PEERS},127.0.0.1:7002` }, 'twice'],
  ['a peer is no address', { peers: `${PEERS},nonsense` }, '"nonsense"'],
  ['a listen address is none', { listen: '7001' }, '--listen "7001"'],
  ['a listen address has an index', { listen: '127.0.0.1:7001:1' }, '--listen'],
  ['the port is 0', { listen: '127.0.0.1:0' }, '--listen'],
  ['it listens everywhere and is found nowhere', { listen: '0.0.0.0:7001' }, 'where the others find'],
  ['names and peers differ in number', { peers: PEERS, names: 'a,b' }, '2 names for 3 peers'],
  ['a name is used twice', { peers: PEERS, names: 'a,b,a' }, 'twice'],
  ['a name looks like an address', { name: 'a:1' }, '--name "a:1"'],
  ['--name and --names disagree', { peers: PEERS, names: 'a,b,c', name: 'b' }, '--name is b'],
  ['the cluster id is too short', { clusterId: 'abc' }, '--cluster-id'],
  ['the election timeout is too short', { electionTimeout: '1ms' }, '--election-timeout'],
  ['the election timeout is no duration', { electionTimeout: 'soon' }, '"soon"'],
  ['the log level is none', { logLevel: 'loud' }, '"loud"'],
  ['the group leaves its directory', { group: '../x' }, '--group'],
  ['the machine is none', { group: 'c=abacus' }, '--group "c=abacus" names no machine'],
  ['two machines', { group: 'c=kv=counter' }, '--group'],
  ['a machine without a group', { group: '=counter' }, '--group ""'],
  ['the checksum is none', { checksum: 'md5' }, '--checksum "md5"'],
  ['the directory is empty', { data: ' ' }, '--data'],
  ['it founds and joins', { peers: PEERS, join: '127.0.0.1:7009' }, '--join and --peers'],
  ['it joins itself', { join: '127.0.0.1:7001' }, 'nobody but this node'],
  ['it joins no address', { join: 'n1' }, '--join has "n1"'],
  ['the snapshot interval is no duration', { snapshotInterval: 'daily' }, '--snapshot-interval "daily"'],
  ['snapshots come faster than they can be taken', { snapshotInterval: '10ms' }, '--snapshot-interval'],
  ['clocks may drift by more than the election timeout', { maxClockDrift: '2s' }, '--max-clock-drift "2s"'],
  ['clocks never drift', { maxClockDrift: '0' }, '--max-clock-drift "0"'],
  ['the priority is too high', { priority: '1001' }, '--priority "1001"'],
  ['the priority is no whole number', { priority: '1.5' }, '--priority "1.5"'],
  ['the drift is no duration', { maxClockDrift: 'none' }, '--max-clock-drift "none"'],
  ['the syncs are no bytes', { unsafeSync: 'often' }, '--unsafe-sync "often"'],
  ['a sync after nothing', { unsafeSync: '0' }, '--unsafe-sync "0"'],
  ['no snapshot may be fetched', { snapshotMaxCopies: '0' }, '--snapshot-max-copies "0"'],
  ['the copies are no number', { snapshotMaxCopies: 'few' }, '--snapshot-max-copies "few"'],
  ['a witness is none in --peers', { peers: PEERS, witness: true }, 'calls this node, 127.0.0.1:7001, no witness'],
  [
    'it is a witness in --peers alone',
    { peers: `127.0.0.1:7001:0:1,127.0.0.1:7002,127.0.0.1:7003` },
    'calls this node, 127.0.0.1:7001, a witness',
  ],
  ['a witness and one member with data', { peers: '127.0.0.1:7001,127.0.0.1:7002:0:1' }, '1 of 2 hold data'],
  ['a witness alone', { witness: true }, 'a witness founds no group by itself'],
  ['the snapshot rate is none', { snapshotMaxRate: 'fast' }, '--snapshot-max-rate "fast"'],
] as const) {
  test(`refused, naming the flag: ${what}`, () => assert.match(refusal(flags), says))
}

test.run()
