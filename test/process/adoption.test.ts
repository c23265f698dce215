// A directory of braft's counter, as a group of one, taken over by a real process.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { adoptionProblem } from '../../src/admin/adoption.js'
import { openDataDirectory } from '../../src/admin/data-directory.js'
import { verifyDirectory } from '../../src/admin/data-verify.js'
import { example } from '../../src/generated/braft.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { asTerm } from '../../src/raft/types.js'
import { frame } from '../../src/storage/protobuf-file.js'
import { META_CODEC } from '../../src/storage/raft-meta.js'
import { everyFile } from '../support/data-directories.js'
import { batch, configuration, data, members } from '../support/entries.js'
import { eventually, freePorts, TestNode } from './node-cluster.js'

const home = mkdtempSync(join(tmpdir(), 'raftctl-adoption-'))
const [port = 0] = await freePorts(1)
const node = new TestNode('c1', port, home, ['--group', 'Counter=counter', '--election-timeout', '300ms', '--snapshot-interval', '0'])
const { dataDir } = node
test.after(async () => {
  await node.close()
  rmSync(home, { recursive: true, force: true })
})

const add = (value: number) => {
  const bytes = Buffer.from(example.FetchAddRequest.encode({ value }).finish())
  return { ...data(''), data: bytes }
}

/** A sealed segment, an open one, and the term they are of. */
function leftByBraft(): void {
  for (const part of ['log', 'raft_meta', 'snapshot']) mkdirSync(join(dataDir, part), { recursive: true })
  writeFileSync(join(dataDir, 'log/log_meta'), Buffer.from('000000020801', 'hex'))
  const conf = configuration(members(port))
  writeFileSync(join(dataDir, 'log/log_00000000000000000001_00000000000000000003'), batch(1, 2, [conf, add(40), add(1)]).bytes)
  writeFileSync(join(dataDir, 'log/log_inprogress_00000000000000000004'), batch(4, 2, [add(1)]).bytes)
  const meta = { term: asTerm(2), votedFor: new PeerId('127.0.0.1', port) }
  writeFileSync(join(dataDir, 'raft_meta/raft_meta'), frame(META_CODEC.encode(meta).finish()))
}

async function value(): Promise<number | null> {
  const response = await fetch(`http://${node.address}/CounterService/get`, { method: 'POST', body: '{}' })
  return ((await response.json()) as { value?: number }).value ?? null
}

test('it is refused unless that is asked for, and nothing is written', async () => {
  leftByBraft()
  const before = everyFile(dataDir)
  const { code, output } = await node.start().exited()
  assert.is(code, 6)
  assert.match(output, 'was written by braft')
  assert.match(output, '--adopt')
  assert.equal(everyFile(dataDir), before)
})

test('it is refused to another member, and nothing is written', async () => {
  const before = everyFile(dataDir)
  const [other = 0] = await freePorts(1)
  const stranger = new TestNode(node.name, other, home, ['--group', 'Counter=counter', '--adopt'])
  const { code, output } = await stranger.start().exited()
  assert.is(code, 6)
  assert.match(output, `is of a group of 127.0.0.1:${port}:0:0, and this node is 127.0.0.1:${other}:0:0`)
  assert.equal(everyFile(dataDir), before)
})

test('it is taken over where it lies, goes on from its value, and needs no flag again', async () => {
  node.start('--adopt')
  assert.is(await eventually('the value', value), 42)
  await node.signal('SIGKILL')
  assert.ok(readdirSync(join(dataDir, 'log')).includes('log_00000000000000000001_00000000000000000003'))

  node.start()
  assert.is(await eventually('the value', value), 42)
  await node.signal('SIGTERM')
  assert.equal((await verifyDirectory(await openDataDirectory(dataDir, 'Counter'))).findings, [])
})

test('it goes back to braft as it is, and comes again', async () => {
  const adoption = { dataDir, group: 'Counter', machine: 'counter', peerId: new PeerId('127.0.0.1', port) } as const
  assert.is(await adoptionProblem(adoption), null)

  // braft votes and leads in a newer term, and adds.
  const [open] = readdirSync(join(dataDir, 'log')).filter((name) => name.includes('inprogress'))
  const file = join(dataDir, 'log', open!)
  const term = 99
  const conf = configuration(members(port))
  writeFileSync(file, Buffer.concat([readFileSync(file), batch(1, term, [conf, add(8)]).bytes]))
  const meta = { term: asTerm(term), votedFor: new PeerId('127.0.0.1', port) }
  writeFileSync(join(dataDir, 'raft_meta/raft_meta'), frame(META_CODEC.encode(meta).finish()))

  const { code, output } = await node.start().exited()
  assert.is(code, 10)
  assert.match(output, 'If braft ran on it since, start it once with --adopt')
  node.start('--adopt')
  assert.is(await eventually('the value', value), 50)
})

test.run()
