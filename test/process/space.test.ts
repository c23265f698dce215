// alone: three nodes and their clients need the machine
// timeout: 120s
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CliHome } from '../support/run-cli.js'
import { eventually, Load, missing, TestCluster, type TestNode } from './node-cluster.js'

const MINUTE_MS = 60_000
const home = new CliHome('warm')
let cluster: TestCluster
let load: Load | null = null

test.before(async () => {
  // A machine that is busy with other things elects nobody in that time.
  cluster = await TestCluster.start(3, ['--election-timeout', '3000ms'])
})

test.after(async () => {
  await load?.stop()
  await cluster.close()
  home.remove()
})

/** Far below the reserve of a node, and far more than is written here. */
async function fill(node: TestNode): Promise<void> {
  await node.faults({ add: [{ id: 'space', ttl_ms: MINUTE_MS, disk_full: { free_bytes: 16 << 20 } }] })
}

const hasAlarm = async (node: TestNode) => (await node.status()).alarms!.includes('NOSPACE')
const term = async (node: TestNode) => Number((await node.status()).term)

async function advice(node: TestNode): Promise<string> {
  const { stdout } = await home.run(['status', '-e', node.address])
  return stdout
}

test('H05 while the disk of the leader is short writes go on through another, and it comes back level', async () => {
  const clients = Array.from({ length: 4 }, () => cluster.client(10_000))
  load = new Load(clients, 'short')
  await load.more(100)
  const old = await cluster.leader()
  await fill(old)
  await eventually('its alarm', () => hasAlarm(old))
  const next = await eventually('another leader', async () => {
    const leader = await cluster.leader()
    return leader !== old && leader
  })
  // All of these are acknowledged while the fault lasts.
  await load.more(300)
  assert.is(await hasAlarm(old), true)
  assert.is.not(await cluster.leader(), old)
  assert.match(await advice(next), `${old.name} is short of space, ${next.name} leads → free space on its disk`)

  const refused = await home.run(['leader', 'transfer', old.name, '-e', next.address, '--yes', '--json'])
  assert.is(JSON.parse(refused.stdout).error.message, `${old.name} is short of space`)
  assert.is(await cluster.leader(), next)

  await old.faults({ heal: true })
  await eventually('its alarm to end', async () => !(await hasAlarm(old)))
  await load.more(100)
  const acknowledged = await load.stop()
  assert.equal(load.failures, [])
  const { last_index } = await next.status()
  await eventually('it is level', async () => Number((await old.status()).applied_index) >= Number(last_index))
  const reader = old.client()
  assert.equal(await missing(reader, 'short', acknowledged), [])
  reader.close()
})

test('H05 where all disks are short nobody moves, writes are refused at once and reads are answered', async () => {
  const leader = await cluster.leader()
  const others = cluster.others(leader)
  await Promise.all(others.map(fill))
  await eventually('their alarms', async () => (await Promise.all(others.map(hasAlarm))).every(Boolean))
  await fill(leader)
  await eventually('its alarm', () => hasAlarm(leader))
  const before = await term(leader)
  const client = cluster.client()
  for (let i = 0; i < 20; i++) {
    const refusal = await client.put(Buffer.from('short/none'), Buffer.from('x')).then(
      () => null,
      (error: Error) => error,
    )
    assert.match(String(refusal), /runs short/)
    assert.ok(await client.get(Buffer.from('short/0/0')))
  }
  assert.is(await cluster.leader(), leader)
  assert.is(await term(leader), before)
  assert.match(await advice(leader), `${leader.name} leads and refuses writes`)
  await Promise.all(cluster.nodes.map((node) => node.faults({ heal: true })))
  await eventually('writes are taken', async () => (await client.put(Buffer.from('short/again'), Buffer.from('x'))) !== null)
  client.close()
})

test.run()
