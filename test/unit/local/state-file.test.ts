import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { withLock } from '../../../src/local/cluster-lock.js'
import { processStart, processState } from '../../../src/local/process-control.js'
import {
  allClusters,
  clusterDirectory,
  clusterNames,
  findCluster,
  forgetCluster,
  type LocalCluster,
  type LocalNode,
  readCluster,
  readNode,
  updateNodes,
  writeCluster,
} from '../../../src/local/state-file.js'
import { CliError } from '../../../src/terminal/errors.js'

const test = suite<{ home: string }>('state file')
const outside = process.env.XDG_DATA_HOME

test.before.each((context) => {
  context.home = mkdtempSync(join(tmpdir(), 'state-file-'))
  process.env.XDG_DATA_HOME = context.home
})

test.after.each(({ home }) => {
  rmSync(home, { recursive: true, force: true })
  if (outside === undefined) delete process.env.XDG_DATA_HOME
  else process.env.XDG_DATA_HOME = outside
})

function node(name: string, port: number, more: Partial<LocalNode> = {}): LocalNode {
  const files = { dataDir: `/data/${name}/data`, logFile: `/data/${name}/raft.log` }
  return { name, host: '127.0.0.1', port, ...files, pid: null, processStart: null, startedAt: null, hasRun: false, argv: [], ...more }
}

function cluster(name: string): LocalCluster {
  return {
    version: 1,
    createdBy: '0.1.0',
    name,
    clusterId: 'ab',
    group: 'kv',
    dir: '/data',
    createdAt: '2026-01-01T00:00:00.000Z',
    electionTimeoutMs: 1000,
    enableFaults: false,
    ephemeral: false,
    nodes: [node('n1', 7001), node('n2', 7002)],
  }
}

/** The code of what `act` throws; null when it throws nothing. */
function codeOf(act: () => unknown): string | null {
  try {
    act()
  } catch (error) {
    if (error instanceof CliError) return error.code
    throw error
  }
  return null
}

test('what is written is read again, and nothing else stands beside it', () => {
  writeCluster(cluster('dev'))
  assert.equal(findCluster('dev'), cluster('dev'))
  assert.equal(readdirSync(clusterDirectory('dev')), ['state.json'])
  const changed = updateNodes(cluster('dev'), (one) => (one.name === 'n2' ? { ...one, pid: 7 } : one))
  assert.equal([findCluster('dev')!.nodes[0]!.pid, findCluster('dev')!.nodes[1]!.pid, changed.nodes[1]!.pid], [null, 7, 7])
})

test('a cluster or node that is not there is named with what it could have been', () => {
  writeCluster(cluster('dev'))
  assert.is(
    codeOf(() => readCluster('dve')),
    'E_NO_CLUSTER',
  )
  assert.throws(() => readCluster('dve'), /did you mean dev\?/)
  assert.is(
    codeOf(() => readNode(cluster('dev'), 'n3')),
    'E_NO_SUCH_NODE',
  )
  assert.is(readNode(cluster('dev'), '127.0.0.1:7002').name, 'n2')
})

test('a name that would leave the directory is refused', () => {
  for (const name of ['..', '../x', 'a/b', '', '.hidden', 'a'.repeat(65)])
    assert.is(
      codeOf(() => clusterDirectory(name)),
      'E_USAGE',
      name,
    )
})

test('half a file, another version and no nodes are E_CONFIG, and the other clusters are still listed', () => {
  writeCluster(cluster('good'))
  for (const [name, text] of [
    ['half', '{ "version": 1, "no'],
    ['newer', '{"version":2,"nodes":[{"name":"n1","port":1}]}'],
    ['empty', '{"version":1,"nodes":[]}'],
    ['null', 'null'],
  ] as const) {
    mkdirSync(clusterDirectory(name), { recursive: true })
    writeFileSync(join(clusterDirectory(name), 'state.json'), text)
    assert.is(
      codeOf(() => findCluster(name)),
      'E_CONFIG',
      name,
    )
  }
  const { clusters, problems } = allClusters()
  assert.equal(
    clusters.map((one) => one.name),
    ['good'],
  )
  assert.is(problems.length, 4)
})

test('forgetting a cluster leaves files that are not its own', () => {
  writeCluster(cluster('dev'))
  writeCluster(cluster('two'))
  writeFileSync(join(clusterDirectory('two'), 'notes.txt'), 'mine')
  forgetCluster('dev')
  forgetCluster('two')
  assert.equal(clusterNames(), [])
  assert.not.ok(existsSync(clusterDirectory('dev')))
  assert.equal(readdirSync(clusterDirectory('two')), ['notes.txt'])
})

test('a node is its process only while pid and start agree', async () => {
  const processStartNow = await processStart(process.pid)
  assert.ok(processStartNow)
  assert.is(await processState(node('n1', 1)), 'stopped')
  assert.is(await processState(node('n1', 1, { pid: process.pid, processStart: processStartNow })), 'running')
  assert.is(await processState(node('n1', 1, { pid: process.pid, processStart: 'earlier' })), 'stale')
  assert.is(await processState(node('n1', 1, { pid: 2 ** 30, processStart: 'earlier' })), 'stale')
  // A process that ended before it could be looked at.
  assert.is(await processState(node('n1', 1, { pid: 2 ** 30, processStart: null })), 'stale')
})

const lockOf = (home: string) => ({ directory: join(home, 'deep', 'clusters'), name: 'dev.', what: 'cluster dev' })

test('one holds the lock at a time, and it leaves no trace', async ({ home }) => {
  let inside = 0
  const order: string[] = []
  const work = (name: string) => async () => {
    inside += 1
    assert.is(inside, 1)
    order.push(`${name} in`)
    await new Promise((resolve) => setImmediate(resolve))
    order.push(`${name} out`)
    inside -= 1
  }
  await Promise.all([withLock(lockOf(home), work('a')), withLock(lockOf(home), work('b')), withLock(lockOf(home), work('c'))])
  assert.equal(
    order.filter((_, i) => i % 2 === 0).map((text) => text[0]),
    order.filter((_, i) => i % 2 === 1).map((text) => text[0]),
  )
  assert.equal(readdirSync(home), [])
})

test('the lock is free again after a failure', async ({ home }) => {
  const fails = withLock(lockOf(home), () => Promise.reject(new Error('no')))
  assert.is(await fails.catch((error: Error) => error.message), 'no')
  assert.is(await withLock(lockOf(home), async () => 'in'), 'in')
})

test('a lock counts by its holder alone: dead ones and nonsense are taken away, a live one is waited for', async ({ home }) => {
  const { directory } = lockOf(home)
  mkdirSync(directory, { recursive: true })
  const file = join(directory, '.dev.lock')
  for (const text of [
    JSON.stringify({ pid: 2 ** 30, processStart: 'x' }),
    JSON.stringify({ pid: process.pid, processStart: 'earlier' }),
    '',
    'null',
  ]) {
    writeFileSync(file, text)
    assert.is(await withLock(lockOf(home), async () => 'in'), 'in', text)
    assert.equal(readdirSync(directory), [], text)
  }
  writeFileSync(file, JSON.stringify({ pid: process.pid, processStart: await processStart(process.pid) }))
  let entered = false
  const waiting = withLock(lockOf(home), async () => {
    entered = true
  })
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.is(entered, false)
  rmSync(file)
  await waiting
  assert.is(entered, true)
})

test('a place where no lock can be is E_DATA_DIR', async ({ home }) => {
  writeFileSync(join(home, 'deep'), '')
  const failed = await withLock(lockOf(home), async () => 'in').catch((error: CliError) => error.code)
  assert.is(failed, 'E_DATA_DIR')
})

test.run()
