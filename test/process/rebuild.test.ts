// timeout: 180s
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'
import { eventually, missing, TestCluster, type TestNode } from './node-cluster.js'

const VALUE = Buffer.alloc(8 * 1024, 'v')
/** The state is some megabytes: at this rate its way takes some seconds, long enough to be looked at. */
const MAX_RATE = '500KB/s'

interface Status {
  readonly reachableVoters: number
  readonly tolerates: number
  readonly nodes: readonly {
    readonly id: string
    readonly state: string
    readonly standing: string | null
    readonly catchUp: { readonly done: number; readonly total: number; readonly unit: string } | null
  }[]
}

const cluster = await TestCluster.start(3)
const home = new CliHome('warm')

test.after(async () => {
  await cluster.close()
  home.remove()
})

const endpoints = () => ['-e', cluster.nodes.map((node) => node.address).join(',')]

async function run<Data>(...words: readonly string[]): Promise<{ exitCode: number; data: Data }> {
  const { stdout } = await home.run([...words, ...endpoints(), '--json'])
  const document = JSON.parse(stdout)
  assert.equal(problemsOf(document), [])
  return document
}

async function write(prefix: string, count: number): Promise<Map<string, string>> {
  const client = cluster.client()
  const written = new Map<string, string>()
  for (let at = 0; at < count; at++) {
    const key = `${prefix}/${String(at).padStart(4, '0')}`
    await client.put(Buffer.from(key), VALUE)
    written.set(key, VALUE.toString())
  }
  client.close()
  return written
}

async function firstIndexOf(node: TestNode): Promise<number> {
  return Number((await node.status()).first_index)
}

test('a member that lost its directory is rebuilt by a snapshot, counts for nothing until then, and ends with the same state', async () => {
  const leader = await cluster.leader()
  const [victim] = cluster.others(leader) as [TestNode]
  const before = await write('before', 100)
  await victim.signal('SIGTERM')
  const after = await write('after', 200)
  // The log is kept back to the snapshot before the newest.
  assert.is((await run('snapshot', 'create', '--node', leader.name)).exitCode, 0)
  await write('between', 1)
  assert.is((await run('snapshot', 'create', '--node', leader.name)).exitCode, 0)
  assert.ok((await firstIndexOf(leader)) > 200, 'the log was not cut')

  victim.wipe()
  const refused = await victim.start().exited()
  assert.is(refused.code, 6, refused.output)
  assert.match(refused.output, '--rebuild')

  victim.start('--rebuild', '--snapshot-max-rate', MAX_RATE)
  const seen = await eventually('the rebuilding to be seen on its way', async () => {
    const { data } = await run<Status>('status')
    const row = data.nodes.find(({ id }) => id === victim.name)
    assert.is.not(row?.state, 'ok', 'it was rebuilt before anybody could look')
    return row?.standing === 'rebuilding' && row.catchUp !== null && row.catchUp.done > 0 ? { ...data, row } : null
  })
  assert.equal([seen.reachableVoters, seen.tolerates], [2, 0], 'a member in rebuilding counts')
  const transfer = await home.run(['leader', 'transfer', victim.name, ...endpoints()])
  assert.is(transfer.exitCode, 6, transfer.stderr)
  assert.match(transfer.stderr, 'E_NOT_CAUGHT_UP')

  const { exitCode } = await run('wait', 'healthy', '--for', '60s')
  assert.is(exitCode, 0)
  assert.is((await victim.status()).standing, 'member')
  const said = readFileSync(join(victim.home, `${victim.name}.log`), 'utf8')
  for (const event of ['snapshot.installed', 'node.rebuilt']) assert.match(said, event)
  const ids = await Promise.all(cluster.nodes.map((node) => node.clusterId()))
  assert.match(ids[0]!, /^[0-9a-f]{32}$/)
  assert.equal(new Set(ids).size, 1, 'it learnt of the others which cluster this is')
  const compared = await run<{ members: { state: string }[] }>('check', 'consistency')
  assert.is(compared.exitCode, 0)

  const client = victim.client()
  assert.equal(await missing(client, 'before', before), [])
  assert.equal(await missing(client, 'after', after), [])
  client.close()
})

test('it votes again: the group goes on when another member is lost', async () => {
  const leader = await cluster.leader()
  await leader.signal('SIGKILL')
  await cluster.leader(cluster.others(leader))
  assert.is((await write('again', 5)).size, 5)
})

test.run()
