// Members of real clusters are added, replaced and removed with the real command, while clients write.
// timeout: 240s
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type * as grpc from '@grpc/grpc-js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { raftctl as proto } from '../../src/generated/raftctl.js'
import { readErrorDetail } from '../../src/rpc/error-detail.js'
import { type Document, documentOf } from '../support/local-clusters.js'
import { CliHome, type CliRun } from '../support/run-cli.js'
import { eventually, freePorts, Load, missing, TestCluster, TestNode } from './node-cluster.js'

const test = suite('members')
const home = new CliHome('warm')
const closers: (() => Promise<unknown>)[] = []

test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})
test.after(() => home.remove())

async function cluster(count: number): Promise<TestCluster> {
  const made = await TestCluster.start(count)
  closers.push(() => made.close())
  return made
}

/** A node that waits to be added; not started yet. */
async function newcomer(name: string, of: TestCluster, flags: readonly string[] = []): Promise<TestNode> {
  const [port] = await freePorts(1)
  const node = new TestNode(name, port!, of.home, ['--join', of.nodes.map((one) => one.address).join(','), '--enable-faults', ...flags])
  closers.push(() => node.close())
  return node
}

/** Runs a command against the cluster, both documents and the exit code checked. */
async function raftctl(of: TestCluster, ...args: string[]): Promise<Document> {
  const [command] = args
  const endpoints = of.nodes.map((node) => node.address).join(',')
  const run = await home.run([...args, '--json', ...(command === 'context' ? [] : ['-e', endpoints])], { timeoutMs: 60_000 })
  return documentOf(run, args)
}

function text(of: TestCluster, ...args: string[]): Promise<CliRun> {
  return home.run([...args, '-e', of.nodes.map((node) => node.address).join(',')], { timeoutMs: 60_000 })
}

async function voters(of: TestCluster): Promise<string[]> {
  const { data } = await raftctl(of, 'member', 'list')
  return data.members.map((member: { id: string }) => member.id).sort()
}

test('a member that receives the log and never votes, promoted, demoted as the leader, and removed', async () => {
  const three = await cluster(3)
  const n4 = await newcomer('n4', three)
  n4.start()
  const voterIds = async () => {
    const { data } = await raftctl(three, 'member', 'list')
    return data.members.flatMap((row: { id: string; role: string }) => (row.role === 'voter' ? [row.id] : [])).sort()
  }
  const added = await raftctl(three, 'member', 'add', `n4=${n4.address}`, '--learner', '--yes')
  assert.is(added.exitCode, 0, JSON.stringify(added.error))
  assert.equal(await voterIds(), ['n1', 'n2', 'n3'])
  await three.client(15_000).put(Buffer.from('k'), Buffer.from('v'))
  const read = await home.run(['kv', 'get', 'k', '-e', n4.address], { timeoutMs: 20_000 })
  assert.is(read.stdout.trim(), 'v', read.stderr)

  const again = await raftctl(three, 'member', 'add', `n4=${n4.address}`, '--yes')
  assert.equal([again.exitCode, again.error.code, again.error.hint], [8, 'E_EXISTS', 'raftctl member promote n4'])
  const promoted = await raftctl(three, 'member', 'promote', 'n4', '--yes')
  assert.is(promoted.exitCode, 0, JSON.stringify(promoted.error))
  assert.equal(await voterIds(), ['n1', 'n2', 'n3', 'n4'])

  const leader = await three.leader()
  const demoted = await raftctl(three, 'member', 'demote', leader.name, '--yes')
  assert.is(demoted.exitCode, 0, JSON.stringify(demoted.error))
  assert.match(demoted.data.plan.steps[0], 'hand leadership to')
  assert.not(leader.name === (await raftctl(three, 'leader', 'show')).data.leader.id)
  const nothing = await raftctl(three, 'member', 'demote', leader.name, '--yes')
  assert.equal([nothing.exitCode, nothing.data.executed], [0, false])
  const removed = await raftctl(three, 'member', 'remove', leader.name, '--yes')
  assert.is(removed.exitCode, 0, JSON.stringify(removed.error))
  assert.is((await voterIds()).length, 3)
})

test('a witness is added, holds nothing, is told apart, and keeps two members going when one of them is lost', async () => {
  const two = await cluster(2)
  const n3 = await newcomer('n3', two, ['--witness'])
  n3.start()
  const asVoter = await raftctl(two, 'member', 'add', `n3=${n3.address}`, '--yes')
  assert.equal([asVoter.exitCode, asVoter.error.code], [6, 'E_NOT_JOINABLE'])
  assert.match(asVoter.error.message, 'was started as a witness: add it with --witness')
  const added = await raftctl(two, 'member', 'add', `n3=${n3.address}`, '--witness', '--yes')
  assert.is(added.exitCode, 0, JSON.stringify(added.error))
  assert.is(added.data.plan.title, `add witness n3=${n3.address}`)
  const { data } = await raftctl(two, 'member', 'list')
  assert.equal(data.members.map(({ id, role }: { id: string; role: string }) => [id, role]).sort(), [
    ['n1', 'voter'],
    ['n2', 'voter'],
    ['n3', 'witness'],
  ])

  await two.client(15_000).put(Buffer.from('k'), Buffer.from('v'))
  const leader = await two.leader()
  for (const mode of ['linearizable', 'stale']) {
    const read = await home.run(['kv', 'get', 'k', '--read', mode, '--direct', '-e', n3.address], { timeoutMs: 20_000 })
    assert.is(read.exitCode, 4, read.stderr)
    assert.match(read.stderr, `${n3.address} is a witness and holds no keys: ask the leader, ${leader.address}`)
  }
  assert.is((await raftctl(two, 'check', 'consistency')).data.equal, 2)
  const handed = await raftctl(two, 'leader', 'transfer', 'n3', '--yes')
  assert.equal([handed.exitCode, handed.error.code], [6, 'E_NOT_CAUGHT_UP'])
  const alone = await raftctl(two, 'member', 'remove', two.others(leader)[0]!.name, '--yes')
  assert.equal([alone.exitCode, alone.error.code], [6, 'E_QUORUM_AT_RISK'])

  await leader.signal('SIGKILL')
  await two.client(30_000).put(Buffer.from('k'), Buffer.from('w'))
  await n3.signal('SIGTERM')
  const wrong = new TestNode('n3', n3.port, two.home, [])
  closers.push(() => wrong.close())
  const { code, output } = await wrong.start().exited()
  assert.is(code, 10)
  assert.match(output, 'was a witness and becomes no other in place; remove it, and add it again with an empty directory')
})

test('a member goes on at another address with its directory, and nobody else does in its name', async () => {
  const three = await cluster(3)
  await three.client(15_000).put(Buffer.from('k'), Buffer.from('v'))
  const [member, other] = three.others(await three.leader()) as [TestNode, TestNode]
  await member.signal('SIGTERM')
  const [port] = await freePorts(1)
  const moved = new TestNode(member.name, port!, three.home, ['--moved'])
  closers.push(() => moved.close())
  moved.start()
  const set = (name: string) => raftctl(three, 'member', 'set', name, '--address', moved.address, '--yes', '--catchup-timeout', '40s')
  await eventually('it waits to be told of', async () => (await moved.status()).standing === 'rebuilding')
  const wrong = await set(other.name)
  assert.equal([wrong.exitCode, wrong.error.code], [6, 'E_NOT_JOINABLE'])
  const done = await set(member.name)
  assert.is(done.exitCode, 0, JSON.stringify(done.error))
  assert.equal([(await set(member.name)).data.executed, await voters(three)], [false, ['n1', 'n2', 'n3']])

  // The group needs it now, and it is not at its old address any more.
  await other.signal('SIGKILL')
  await three.client(30_000).put(Buffer.from('k'), Buffer.from('w'))
  await moved.signal('SIGTERM')
  const { code, output } = await member.start().exited()
  assert.is(code, 6)
  assert.match(output, `belongs to member ${moved.peerId}`)
})

test('3 to 5 to 3 members under load without a failed write', async () => {
  const three = await cluster(3)
  const load = new Load([three.client(15_000), three.client(15_000)], 'load')
  await load.more(50)
  const [n4, n5] = [await newcomer('n4', three), await newcomer('n5', three)]
  n4.start()
  n5.start()
  const added = await raftctl(three, 'member', 'add', `n4=${n4.address}`, `n5=${n5.address}`, '--yes', '--catchup-timeout', '40s')
  assert.equal(
    [added.exitCode, added.data.executed, added.data.result.verified.filter((row: { ok: boolean }) => row.ok).length],
    [0, true, 5],
  )
  assert.equal(await voters(three), ['n1', 'n2', 'n3', 'n4', 'n5'])
  await load.more(50)
  const leader = await three.leader()
  const other = three.others(leader)[0]!
  const removed = await raftctl(three, 'member', 'remove', leader.name, other.name, '--yes')
  assert.is(removed.exitCode, 0, JSON.stringify(removed.error))
  assert.match(removed.data.plan.steps[0], 'hand leadership to')
  await load.more(50)
  const expected = await load.stop()
  assert.equal(load.failures, [], 'writes failed')
  const stayed = three.nodes.filter((node) => node !== leader && node !== other)
  const { members } = (await raftctl(three, 'member', 'list')).data
  assert.equal(members.map((member: { id: string }) => member.id).sort(), [...stayed.map((node) => node.name), 'n4', 'n5'].sort())
  const reading = n4.client()
  assert.equal(await missing(reading, 'load', expected), [])
  reading.close()
  for (const gone of [leader, other]) assert.is((await gone.exited()).code, 6, 'a removed member stops by itself')
})

test('pain 1: a member whose process is not running cannot wedge the cluster', async () => {
  const three = await cluster(3)
  const n4 = await newcomer('n4', three)
  const client = three.client()
  const adding = raftctl(three, 'member', 'add', `n4=${n4.address}`, '--yes', '--catchup-timeout', '1500ms')
  await client.put(Buffer.from('while'), Buffer.from('waiting'))
  const { exitCode, error } = await adding
  assert.equal([exitCode, error.code], [124, 'E_WAIT_TIMEOUT'])
  assert.match(error.message, 'connection refused')
  assert.equal(await voters(three), ['n1', 'n2', 'n3'])
  await client.put(Buffer.from('and'), Buffer.from('afterwards'))
  client.close()
  const shown = await text(three, 'member', 'add', `n4=${n4.address}`, '--dry-run')
  assert.is(shown.exitCode, 124)
  assert.match(shown.stdout, `raftctl node start --name n4 --listen ${n4.address} --join `)
})

test('a member that is started while the command waits is added', async () => {
  const one = await cluster(1)
  const n2 = await newcomer('n2', one)
  const adding = text(one, 'member', 'add', `n2=${n2.address}`, '--yes', '--catchup-timeout', '40s')
  n2.start()
  const { exitCode, stdout, stderr } = await adding
  assert.is(exitCode, 0, stderr)
  assert.match(stdout, /n2 added \(config \d+\) {3}✓ verified on n1 n2 {3}took /)
})

test('an add that waits ends as stale when somebody else changes the members meanwhile', async () => {
  const three = await cluster(3)
  const n4 = await newcomer('n4', three)
  const endpoints = three.nodes.map((node) => node.address).join(',')
  const waiting = home.start(['member', 'add', `n4=${n4.address}`, '--yes', '-e', endpoints])
  const removal: Document[] = []
  for await (const line of waiting.iterable({ from: 'stderr' })) {
    if (!/waiting for n4/.test(line)) continue
    const victim = three.others(await three.leader())[0]!
    removal.push(await raftctl(three, 'member', 'remove', victim.name, '--yes'))
  }
  assert.equal([removal.length, removal[0]?.exitCode, (await waiting).exitCode], [1, 0, 8])
})

test('pain 17: a node of another cluster is exit 8, and is not added by force', async () => {
  const [one, foreign] = [await cluster(1), await cluster(1)]
  const address = foreign.nodes[0]!.address
  for (const force of [[], ['--force']]) {
    const { exitCode, error } = await raftctl(one, 'member', 'add', `n2=${address}`, '--yes', ...force)
    assert.equal([exitCode, error.code], [8, 'E_CLUSTER_MISMATCH'])
  }
  assert.equal(await voters(one), ['n1'])
  assert.equal(await voters(foreign), ['n1'])
})

test('one more than the quorum allows is exit 6 and says what to do instead; that works', async () => {
  const three = await cluster(3)
  const [dead] = three.others(await three.leader()) as [TestNode]
  await dead.signal('SIGKILL')
  const living = three.nodes.filter((node) => node !== dead)
  // Until its leader misses it, another may still go. A busy machine may have changed leaders meanwhile, and a leader that it
  // never answered knows of no last contact.
  const leader = await eventually('the leader to miss the dead one', async () => {
    for (const node of living) {
      const { progress } = await node.status()
      const silentMs = (peer: TestNode): number =>
        Number(progress?.find((known) => known.peer_id === peer.peerId)?.last_contact_ms ?? Infinity)
      const other = living.find((one) => one !== node)!
      if (progress?.length && silentMs(other) < 1000 && silentMs(dead) > 2500) return node
    }
    return null
  })
  const alive = living.find((node) => node !== leader)!
  const refused = await raftctl(three, 'member', 'remove', alive.name, '--yes')
  assert.equal([refused.error.code, refused.data.executed], ['E_QUORUM_AT_RISK', false])
  assert.match(refused.error.message, 'writes would stop')
  assert.match(refused.error.hint, `do instead:  raftctl member remove ${dead.name}     (safe: leaves `)
  const removed = await raftctl(three, 'member', 'remove', dead.name, '--yes')
  assert.is(removed.exitCode, 0, JSON.stringify(removed.error))
  assert.equal(await voters(three), [leader.name, alive.name].sort())
  const client = three.client()
  await client.put(Buffer.from('two'), Buffer.from('go on'))
  client.close()
})

test('pain 5: the dead one is replaced in one step', async () => {
  const three = await cluster(3)
  const [dead] = three.others(await three.leader()) as [TestNode]
  await dead.signal('SIGKILL')
  const n4 = (await newcomer('n4', three)).start()
  const { exitCode, error } = await raftctl(three, 'member', 'replace', dead.name, `n4=${n4.address}`, '--yes', '--catchup-timeout', '40s')
  assert.is(exitCode, 0, JSON.stringify(error))
  assert.equal(
    await voters(three),
    ['n1', 'n2', 'n3', 'n4'].filter((name) => name !== dead.name),
  )
})

test('pain 6: a plan is executed once; after that, and after any other change, it is stale: exit 8', async () => {
  const three = await cluster(3)
  const [victim] = three.others(await three.leader()) as [TestNode]
  const file = join(home.directory, 'remove.json')
  const planned = await raftctl(three, 'member', 'remove', victim.name, '--plan-out', file)
  assert.equal([planned.exitCode, planned.data.executed], [0, false])
  assert.equal(await voters(three), ['n1', 'n2', 'n3'])
  const applied = await raftctl(three, 'apply', file, '--yes')
  assert.equal([applied.exitCode, applied.data.executed], [0, true], JSON.stringify(applied.error))
  assert.is((await voters(three)).includes(victim.name), false)
  const again = await raftctl(three, 'apply', file, '--yes')
  assert.equal([again.exitCode, again.error.code], [8, 'E_PLAN_STALE'])
})

test('a file says who the members are: 3 when they are not, 0 when they are', async () => {
  const one = await cluster(1)
  const n2 = (await newcomer('n2', one)).start()
  const file = join(home.directory, 'members.yaml')
  writeFileSync(file, `members:\n  n1: ${one.nodes[0]!.address}\n  n2: ${n2.address}\n`)
  await eventually('n2', async () => n2.status())
  let drift = await raftctl(one, 'member', 'apply', '-f', file, '--dry-run')
  await eventually('the leader to reach n2', async () => {
    if (drift.exitCode === 124) drift = await raftctl(one, 'member', 'apply', '-f', file, '--dry-run')
    return drift.exitCode !== 124
  })
  assert.equal([drift.exitCode, drift.ok, drift.data.plan.action.add.length], [3, true, 1])
  const applied = await raftctl(one, 'member', 'apply', '-f', file, '--yes', '--catchup-timeout', '40s')
  assert.is(applied.exitCode, 0, JSON.stringify(applied.error))
  const same = await raftctl(one, 'member', 'apply', '-f', file, '--dry-run')
  assert.equal([same.exitCode, same.data.executed], [0, false])
  writeFileSync(file, `members:\n  n1: ${one.nodes[0]!.address}\n`)
  assert.is((await raftctl(one, 'member', 'apply', '-f', file, '--dry-run')).exitCode, 0, 'without --prune nobody goes')
  const pruned = await raftctl(one, 'member', 'apply', '-f', file, '--prune', '--yes')
  assert.is(pruned.exitCode, 0, JSON.stringify(pruned.error))
  assert.equal(await voters(one), ['n1'])
})

test('pain 15: a member that cannot catch up is told why', async () => {
  const one = await cluster(1)
  const n2 = (await newcomer('n2', one)).start()
  await eventually('n2', async () => n2.status())
  n2.pause()
  const { exitCode, error } = await raftctl(one, 'member', 'add', `n2=${n2.address}`, '--yes', '--catchup-timeout', '2500ms')
  n2.resume()
  assert.equal([exitCode, error.code], [124, 'E_WAIT_TIMEOUT'])
  assert.match(error.message, `no answer within 1000 ms`)
  assert.equal(await voters(one), ['n1'])
})

test('the leader decides: who asks it without a plan is refused all the same, and nothing begins', async () => {
  const [three, foreign] = [await cluster(3), await cluster(1)]
  const leader = await three.leader()
  const [dead, alive] = three.others(leader) as [TestNode, TestNode]
  const change = (request: proto.v1.ChangeMembersRequest.$Properties): Promise<string> =>
    new Promise((resolve) => {
      const stream = leader.control.serverStream(
        'ChangeMembers',
        { group: 'kv', catchup_timeout_ms: 1000, ...request },
        { timeoutMs: 20_000 },
      )
      stream.on('data', () => {})
      stream.on('end', () => resolve('done'))
      stream.on('error', (error: grpc.ServiceError) => resolve(readErrorDetail(error)?.code ?? error.message))
    })
  const member = (node: TestNode) => [{ peer_id: node.peerId, name: 'other' }]
  assert.is(await change({ add: member(foreign.nodes[0]!), force: true }), 'E_CLUSTER_MISMATCH')
  assert.is(await change({ remove: member(alive), expect_config_index: 999 }), 'E_PLAN_STALE')
  assert.is(await change({ remove: member(foreign.nodes[0]!) }), 'E_NO_SUCH_NODE')
  await dead.signal('SIGKILL')
  // Until the leader has noticed, the voter that has just died may count as heard.
  await eventually('the leader to miss it', async () => {
    const { progress } = await leader.status()
    const seen = progress?.find((peer) => peer.peer_id === dead.peerId)
    return seen && Number(seen.consecutive_errors) > 0 && Number(seen.last_contact_ms) > 500
  })
  assert.is(await change({ remove: member(alive) }), 'E_QUORUM_AT_RISK')
  assert.equal(await voters(three), ['n1', 'n2', 'n3'])
  assert.is(await change({ remove: member(dead) }), 'done')
})

test.run()
