// A local cluster grows and shrinks while it runs.
// timeout: 180s
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { freePorts, LocalClusters } from '../support/local-clusters.js'

const test = suite('cluster scale')
const home = new LocalClusters('warm')
test.after(() => home.remove())

const names = () => home.state('dev').nodes.map((node) => node.name)

test('new nodes get the next names and ports, and stay members when the cluster is stopped and started', async () => {
  const port = await freePorts(6)
  assert.is((await home.json(['cluster', 'start', '--nodes', '1', '--base-port', String(port)])).exitCode, 0)
  assert.is((await home.run(['kv', 'put', 'before', 'it grew'])).exitCode, 0)
  const asked = await home.json(['cluster', 'scale', '3'])
  assert.equal([asked.exitCode, asked.error.details.flag], [12, '--yes'])
  assert.equal(names(), ['n1'])
  const dry = await home.json(['cluster', 'scale', '3', '--dry-run'])
  assert.equal([dry.exitCode, dry.data.executed, home.processes().length], [0, false, 1])
  const grown = await home.json(['cluster', 'scale', '3', '--yes'])
  assert.equal([grown.exitCode, grown.data.executed], [0, true], JSON.stringify(grown.error))
  assert.equal(
    home.state('dev').nodes.map((node) => [node.name, node.port - port]),
    [
      ['n1', 0],
      ['n2', 1],
      ['n3', 2],
    ],
  )
  assert.is(JSON.parse(readFileSync(home.contextFile('dev'), 'utf8')).endpoints.length, 3)
  await home.json(['cluster', 'stop'])
  const started = await home.json(['cluster', 'start'])
  assert.equal([started.exitCode, started.warnings], [0, []], JSON.stringify(started.error))
  assert.is((await home.json(['member', 'list'])).data.members.length, 3)
  assert.is((await home.run(['kv', 'get', 'before'])).stdout, 'it grew')
})

test('it shrinks from the highest; one that leads hands over first, and the data is moved aside', async () => {
  assert.is((await home.json(['leader', 'transfer', 'n3'])).exitCode, 0)
  const shrunk = await home.json(['cluster', 'scale', '1', '--yes', '--reason', 'enough'])
  assert.equal([shrunk.exitCode, shrunk.data.plan.action.transferTo.id], [0, 'n1'], JSON.stringify(shrunk.error))
  assert.equal([names(), home.processes().length], [['n1'], 1])
  const left = readdirSync(join(home.clusters, 'dev'))
  assert.is(left.filter((name) => /^n[23]\.removed-\d{8}-\d{6}$/.test(name)).length, 2)
  assert.is((await home.run(['kv', 'get', 'before'])).stdout, 'it grew')
  const same = await home.json(['cluster', 'scale', '1'])
  assert.equal([same.exitCode, same.data.executed], [0, false])
})

test('what was done stands in the history, with the reason', () => {
  const lines = readFileSync(join(home.directory, '.local', 'state', 'raftctl', 'history.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
  const records = lines.map((line) => JSON.parse(line))
  const scaled = records.filter(({ command }) => command === 'cluster scale')
  assert.equal(
    scaled.map(({ outcome, reason, exitCode }) => [outcome, reason, exitCode]),
    [
      ['ok', null, 0],
      ['ok', 'enough', 0],
    ],
  )
})

test('a cluster that does not exist is exit 7, a number that is none exit 2', async () => {
  assert.is((await home.json(['cluster', 'scale', '3', '--name', 'dve'])).exitCode, 7)
  assert.is((await home.json(['cluster', 'scale', '0'])).exitCode, 2)
  assert.is((await home.json(['cluster', 'scale', 'many'])).exitCode, 2)
  assert.not.ok(existsSync(join(home.clusters, 'dve')))
})

test.run()
