import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { removeCluster, stopCluster, stopError } from '../../../src/local/cluster-control.js'
import { processStart } from '../../../src/local/process-control.js'
import { findCluster, type LocalNode, writeCluster } from '../../../src/local/state-file.js'
import { isAlive } from '../../support/local-clusters.js'

const test = suite<{ home: string; children: ChildProcess[] }>('cluster control')
const outside = { data: process.env.XDG_DATA_HOME, config: process.env.XDG_CONFIG_HOME }

function setEnvironment(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name]
  else process.env[name] = value
}

test.before.each((context) => {
  context.home = mkdtempSync(join(tmpdir(), 'cluster-control-'))
  context.children = []
  setEnvironment('XDG_DATA_HOME', context.home)
  setEnvironment('XDG_CONFIG_HOME', context.home)
})

test.after.each(({ home, children }) => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(home, { recursive: true, force: true })
  setEnvironment('XDG_DATA_HOME', outside.data)
  setEnvironment('XDG_CONFIG_HOME', outside.config)
})

/** A process in place of a node: what it does on SIGTERM is all that is looked at. */
async function stand(context: { home: string; children: ChildProcess[] }, name: string, onTerm: string): Promise<LocalNode> {
  const program = `process.on('SIGTERM', () => { ${onTerm} }); setInterval(() => {}, 1000); process.stdout.write('ready')`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'ignore'] })
  context.children.push(child)
  await once(child.stdout!, 'data')
  const directory = join(context.home, 'data', name)
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'raft.log'), 'log')
  return {
    name,
    host: '127.0.0.1',
    port: 1,
    dataDir: join(directory, 'data'),
    logFile: join(directory, 'raft.log'),
    pid: child.pid!,
    processStart: await processStart(child.pid!),
    startedAt: null,
    hasRun: true,
    argv: [],
  }
}

function write(home: string, nodes: readonly LocalNode[], options: { ephemeral: boolean }): void {
  const plain = {
    version: 1,
    createdBy: '',
    clusterId: 'ab',
    group: 'kv',
    createdAt: '',
    electionTimeoutMs: 1000,
    enableFaults: false,
  } as const
  writeCluster({ ...plain, ...options, name: 'dev', dir: join(home, 'data'), nodes })
}

test('a node that stops is stopped, one that does not is killed after the grace period', async (context) => {
  const obeys = await stand(context, 'n1', 'process.exit()')
  const ignores = await stand(context, 'n2', '')
  write(context.home, [obeys, ignores, { ...obeys, name: 'n3', pid: null, processStart: null }], { ephemeral: false })
  const stop = await stopCluster('dev', 500)
  assert.equal(
    stop.nodes.map(({ node, outcome }) => [node.name, outcome]),
    [
      ['n1', 'stopped'],
      ['n2', 'killed'],
      ['n3', 'was-stopped'],
    ],
  )
  assert.equal([isAlive(obeys.pid), isAlive(ignores.pid), stopError([stop])], [false, false, null])
  assert.equal(
    findCluster('dev')!.nodes.map((node) => node.pid),
    [null, null, null],
  )
})

test('an ephemeral cluster is gone when it is stopped', async (context) => {
  write(context.home, [await stand(context, 'n1', 'process.exit()')], { ephemeral: true })
  assert.is((await stopCluster('dev', 5000)).removed, true)
  assert.equal([findCluster('dev'), existsSync(join(context.home, 'data'))], [null, false])
})

test('removing stops first, and tells what was freed', async (context) => {
  const node = await stand(context, 'n1', '')
  write(context.home, [node], { ephemeral: false })
  const removal = await removeCluster('dev', { keepData: false, graceMs: 0 })
  assert.equal(removal, { directories: [join(context.home, 'data', 'n1')], freedBytes: 3 })
  assert.equal([isAlive(node.pid), findCluster('dev'), existsSync(join(context.home, 'data'))], [false, null, false])
})

test('what not even SIGKILL ended is E_PARTIAL', async (context) => {
  const node = await stand(context, 'n1', '')
  write(context.home, [node], { ephemeral: false })
  const cluster = findCluster('dev')!
  const error = stopError([{ cluster, nodes: [{ node, outcome: 'running' }], removed: false }])
  assert.is(error!.code, 'E_PARTIAL')
  assert.match(error!.message, `dev n1 (pid ${node.pid})`)
})

test.run()
