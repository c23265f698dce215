// alone: three nodes and their clients need the machine
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, Load, TestCluster, type TestNode } from './node-cluster.js'

const ENTRY = fileURLToPath(new URL('../../../bin/run.js', import.meta.url))
const cluster = await TestCluster.start(3)
const tails: Tail[] = []

test.after(async () => {
  for (const tail of tails) tail.stop()
  await cluster.close()
})

interface Row {
  readonly index: number
  readonly term: number
  readonly type: string
  readonly summary: string
  readonly committed: boolean
  readonly node: string
  readonly replaces: number | null
}

/** `log tail -f --json` of the whole cluster, as it runs. */
class Tail {
  readonly rows: Row[] = []
  stderr = ''
  private readonly child: ChildProcess

  constructor(...args: string[]) {
    const endpoints = cluster.nodes.map((node) => node.address).join(',')
    this.child = spawn(process.execPath, [ENTRY, 'log', 'tail', '-f', '--json', '-v', '-e', endpoints, ...args], {
      env: { ...process.env, HOME: cluster.home },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    createInterface(this.child.stdout!).on('line', (line) => this.rows.push(JSON.parse(line) as Row))
    this.child.stderr!.on('data', (chunk) => (this.stderr += chunk))
    tails.push(this)
  }

  get newest(): number {
    return this.rows.at(-1)?.index ?? 0
  }

  async reaches(index: number): Promise<void> {
    await eventually(`the tail to show entry ${index} (it is at ${this.newest}: ${this.stderr})`, async () => this.newest >= index)
  }

  stop(): void {
    this.child.kill('SIGKILL')
  }
}

async function commitOf(node: TestNode): Promise<number> {
  return Number((await node.status()).commit_index)
}

/** What every member agrees upon, read from one of them. */
async function committedLog(node: TestNode, to: number): Promise<string[]> {
  const entries: string[] = []
  for await (const record of node.control.serverStream('ReadLog', { from: 1, to, committed_only: true }))
    entries.push(`${record.index}:${record.term}:${record.summary}`)
  return entries
}

test('log tail -f under writes: a killed leader, a restarted member, a hung one; every committed entry once and in order', async () => {
  const tail = new Tail('--from', '1')
  const everything = new Tail('--from', '1', '--uncommitted')
  const load = new Load([cluster.client(10_000), cluster.client(10_000)], 'tail')
  await load.more(100)

  const first = await cluster.leader()
  await first.signal('SIGKILL')
  const second = await cluster.leader(cluster.others(first))
  await load.more(100)
  await tail.reaches(await commitOf(second))

  first.start()
  const [third] = cluster.others(second).filter((node) => node !== first)
  await eventually('the killed one to follow', async () => (await first.status()).leader_id !== '')
  await third!.signal('SIGTERM')
  await load.more(50)
  third!.start()
  await eventually('the restarted one to follow', async () => (await third!.status()).leader_id !== '')
  await load.more(50)

  second.pause()
  const fourth = await cluster.leader(cluster.others(second))
  await load.more(50)
  await tail.reaches(await commitOf(fourth))
  second.resume()

  const acknowledged = await load.stop()
  const last = await commitOf(await cluster.leader())
  await Promise.all([tail.reaches(last), everything.reaches(last)])
  const expected = await committedLog(fourth, last)
  assert.is(expected.length, last)
  const shown = tail.rows.filter(({ index }) => index <= last)
  assert.equal(
    shown.map(({ index, term, summary }) => `${index}:${term}:${summary}`),
    expected,
  )
  assert.ok(shown.every(({ committed, replaces }) => committed && replaces === null))
  assert.ok(new Set(tail.rows.map(({ node }) => node)).size >= 2, 'it never changed members')
  const text = shown.map(({ summary }) => summary).join('\n')
  for (const key of acknowledged.keys()) assert.ok(text.includes(`${key} = `), key)

  const final = new Map<number, string>()
  for (const { index, term, summary, replaces } of everything.rows) {
    const before = final.get(index)
    assert.is(replaces === null, before === undefined, `entry ${index} came again without saying why`)
    if (before !== undefined) assert.ok(Number(before.split(':')[1]) < term, `entry ${index} was replaced by an older one`)
    final.set(index, `${index}:${term}:${summary}`)
  }
  assert.equal(
    expected.map((_, at) => final.get(at + 1)),
    expected,
  )
})

test('a tail that is open does not hold up a node that stops', async () => {
  const leader = await cluster.leader()
  const tail = new Tail('--last', '1')
  await eventually('the tail to show something', async () => tail.rows.length > 0)
  const startedAt = performance.now()
  const { code } = await leader.signal('SIGTERM')
  assert.is(code, 0)
  console.log(`      stopped within ${Math.round(performance.now() - startedAt)} ms`)
  const next = await cluster.leader(cluster.others(leader))
  await tail.reaches(await commitOf(next))
  leader.start()
  await eventually('it to follow again', async () => (await leader.status()).leader_id !== '')
})

test('data verify of every member while it is written to: sound each time, and no byte of it is touched', async () => {
  const load = new Load([cluster.client(10_000), cluster.client(10_000)], 'verify')
  for (const node of cluster.nodes) {
    await load.more(20)
    const { exitCode, stdout } = await execa(process.execPath, [ENTRY, 'data', 'verify', node.dataDir, '--json'], {
      env: { HOME: cluster.home },
      reject: false,
    })
    const { data } = JSON.parse(stdout)
    assert.equal([exitCode, data.findings], [0, []])
    assert.is(data.pid, node.pid)
    assert.ok(data.checked.entries > 300)
  }
  await load.stop()
  assert.equal(load.failures, [])
})

test.run()
