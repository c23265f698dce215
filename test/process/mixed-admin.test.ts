// The commands of an operator on a group with members of both kinds.
// timeout: 400s
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BraftMember } from '../support/braft-member.js'
import { documentOf } from '../support/local-clusters.js'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'
import { eventually, freePorts, TestNode } from './node-cluster.js'

const GROUP = 'Counter'
const homes: string[] = []
const cli = new CliHome('warm')
const closers: (() => unknown)[] = []

test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  for (const home of homes.splice(0)) rmSync(home, { recursive: true, force: true })
})
test.after(() => cli.remove())

async function braftMember(): Promise<BraftMember> {
  const member = await BraftMember.start(GROUP)
  closers.push(() => member.close())
  return member
}

function ours(port: number, ...flags: string[]): TestNode {
  const home = mkdtempSync(join(tmpdir(), 'raftctl-mixed-admin-'))
  homes.push(home)
  const node = new TestNode('ours', port, home, ['--group', `${GROUP}=counter`, '--snapshot-interval', '0', ...flags])
  closers.push(() => node.close())
  return node
}

const status = (node: TestNode) => node.control.call('GetNodeStatus', { group: GROUP }, { timeoutMs: 2000 })

/** One of ours leads two of braft's. */
async function ledByOurs() {
  const members = [await braftMember(), await braftMember()]
  const [port] = await freePorts(1)
  const addresses = [`127.0.0.1:${port}`, ...members.map(({ address }) => address)]
  for (const member of members) member.initial = addresses.map((address) => `${address}:0:0`)
  const node = ours(port!, '--mixed', '--peers', addresses.join(',')).start()
  await eventually('it to lead', async () => (await status(node)).leader_ready_for_ms !== null && (await status(node)).state === 'LEADER')
  return { node, members }
}

async function run(node: TestNode, ...args: string[]) {
  return await cli.run([...args, '-e', node.address, '--group', GROUP])
}

async function json(node: TestNode, ...args: string[]) {
  const document = documentOf(await run(node, ...args, '--json'), args)
  assert.equal(problemsOf(document), [], args.join(' '))
  return document
}

test('a braft node is added and removed by a leader of ours, with no name and with the look that every newcomer gets', async () => {
  const { node, members } = await ledByOurs()
  const newcomer = await braftMember()
  const added = await run(node, 'member', 'add', newcomer.address, '--yes')
  assert.is(added.exitCode, 0, added.stderr)
  assert.match(added.stderr, `✓ ${newcomer.address} answers, a braft node, empty log`)
  await eventually('the others to hold it', async () => members.every((member) => member.members.includes(newcomer.peerId)))
  const removed = await run(node, 'member', 'remove', newcomer.address, '--yes')
  assert.is(removed.exitCode, 0, removed.stderr)
  assert.match(removed.stderr, `stop the process of ${newcomer.address}: a braft member need not hear that it was removed`)
  assert.not.match(removed.stderr, 'node wipe')
})

test('who runs what is in status and in the list of the members, of one that is down as well', async () => {
  const { node, members } = await ledByOurs()
  const [first] = members
  const list = await run(node, 'member', 'list')
  assert.match(list.stdout, /^ID +ADDRESS +KIND +ROLE/)
  assert.match(list.stdout, new RegExp(`^${first!.address} +${first!.address} +braft +voter`, 'm'))
  await first!.close()
  const { data } = await json(node, 'member', 'list')
  assert.equal(data.members.map((row: { kind: string }) => row.kind).sort(), ['braft', 'braft', 'raftctl'])
  const picture = await json(node, 'status')
  const down = picture.data.nodes.find((row: { address: string }) => row.address === first!.address)
  assert.equal([down.reachable, down.kind], [false, 'braft'])
})

test('what braft members cannot read is refused at once, and the message says why', async () => {
  const { node } = await ledByOurs()
  for (const member of ['n4=localhost:7004', 'n4=[::1]:7004']) {
    const { exitCode, stderr } = await run(node, 'member', 'add', member, '--yes')
    assert.equal([exitCode, stderr.includes('E_MIXED')], [6, true], stderr)
    assert.match(stderr, /takes braft members \(--mixed\), which read IPv4 addresses only/)
  }
  const learners = [{ peer_id: '127.0.0.1:7004:0:0', name: 'n4' }]
  const told = await new Promise<string>((resolve) => {
    const stream = node.control.serverStream('ChangeMembers', { group: GROUP, learners }, { timeoutMs: 20_000 })
    stream.on('error', (error) => resolve(error.message)).resume()
  })
  assert.match(told, /takes braft members \(--mixed\), which know no learners: every member votes/)
})

test('one of ours that was started without --mixed is not taken among braft members', async () => {
  const { node } = await ledByOurs()
  const [port] = await freePorts(1)
  const other = ours(port!, '--join', node.address).start()
  await eventually('it to wait', async () => (await status(other)).state === 'FOLLOWER')
  const { exitCode, stderr } = await run(node, 'member', 'add', `n4=${other.address}`, '--yes')
  assert.is(exitCode, 6, stderr)
  assert.match(stderr, /was started without --mixed: it would refuse .* which is a braft node/)
})

test.run()
