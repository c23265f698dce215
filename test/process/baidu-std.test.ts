// alone: four nodes and their clients need the machine
// timeout: 180s
import * as net from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { documentOf } from '../support/local-clusters.js'
import { listen } from '../support/rpc.js'
import { CliHome } from '../support/run-cli.js'
import { eventually, freePorts, Load, missing, TestCluster, TestNode } from './node-cluster.js'

const TRANSPORT = ['--transport', 'baidu_std']
const home = new CliHome('warm')
const cluster = await TestCluster.start(3, TRANSPORT)
const closers: (() => unknown)[] = [() => cluster.close(), () => home.remove()]

test.after(async () => {
  for (const close of closers.reverse()) await close()
})

async function raftctl(...args: string[]) {
  const endpoints = cluster.nodes.map((node) => node.address).join(',')
  return documentOf(await home.run([...args, '--json', '-e', endpoints], { timeoutMs: 60_000 }), args)
}

test('what members say to each other are baidu_std frames', async () => {
  const leader = await cluster.leader()
  const follower = cluster.others(leader)[0]!
  let heard: (opening: string) => void = () => {}
  const opening = new Promise<string>((resolve) => (heard = resolve))
  const tap = await listen((socket) => {
    const onward = net.connect(follower.port, '127.0.0.1')
    closers.push(() => onward.destroy())
    for (const end of [onward, socket]) end.on('error', () => end.destroy())
    socket.once('data', (first) => heard(first.toString('latin1', 0, 4)))
    socket.pipe(onward).pipe(socket)
  })
  closers.push(tap.close)
  await leader.faults({ dial_map: { [follower.peerId]: `127.0.0.1:${tap.port}` } })
  assert.is(await opening, 'PRPC')
  await leader.faults({ heal: true })
})

test('a leader that is killed costs no acknowledged write, and comes back as a follower', async () => {
  const load = new Load([cluster.client(15_000), cluster.client(15_000)], 'killed')
  await load.more(100)
  const leader = await cluster.leader()
  await leader.signal('SIGKILL')
  await cluster.leader(cluster.others(leader))
  await load.more(100)
  leader.start()
  await load.more(100)
  const acknowledged = await load.stop()
  const reader = cluster.client()
  assert.equal(await missing(reader, 'killed', acknowledged), [])
  reader.close()
  const target = Number((await (await cluster.leader()).status()).commit_index)
  await eventually('the killed node to come level', async () => Number((await leader.status()).applied_index) >= target)
})

test('a linearizable read works on a follower: it asks its leader by the same way', async () => {
  const leader = await cluster.leader()
  const writer = leader.client(15_000)
  await writer.put(Buffer.from('read'), Buffer.from('here'))
  writer.close()
  const follower = cluster.others(leader)[0]!.client(15_000)
  assert.is(`${(await follower.get(Buffer.from('read'))).item?.value}`, 'here')
  follower.close()
})

test('a new member is added by a snapshot, and leadership is handed over to it', async () => {
  for (const _ of [1, 2]) {
    const writer = cluster.client(15_000)
    for (let i = 0; i < 20; i++) await writer.put(Buffer.from(`cut/${i}`), Buffer.alloc(100_000))
    writer.close()
    assert.is((await raftctl('snapshot', 'create', '--all')).exitCode, 0)
  }
  const first = Number((await (await cluster.leader()).status()).first_index)
  assert.ok(first > 1, 'the log was cut: a new member needs the snapshot')
  const [port] = await freePorts(1)
  const n4 = new TestNode('n4', port!, cluster.home, ['--join', cluster.nodes[0]!.address, '--enable-faults', ...TRANSPORT]).start()
  closers.push(() => n4.close())
  const added = await raftctl('member', 'add', `n4=${n4.address}`, '--yes', '--catchup-timeout', '60s')
  assert.is(added.exitCode, 0, JSON.stringify(added.error))
  assert.match((await n4.signal('SIGTERM')).output, '"msg":"snapshot.installed"')
  n4.start()
  const waited = await raftctl('wait', 'member=n4:caught-up', '--timeout', '30s')
  assert.is(waited.exitCode, 0, JSON.stringify(waited.error))
  const moved = await raftctl('leader', 'transfer', 'n4', '--yes')
  assert.is(moved.exitCode, 0, JSON.stringify(moved.error))
  assert.is((await n4.status()).state, 'LEADER')
  const writer = n4.client(15_000)
  await writer.put(Buffer.from('by'), Buffer.from('n4'))
  writer.close()
})

test.run()
