import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { choosePorts, whyNotFree } from '../../../src/local/ports.js'
import { type LocalNode, writeCluster } from '../../../src/local/state-file.js'
import type { CliError } from '../../../src/terminal/errors.js'
import { freePorts } from '../../support/local-clusters.js'

const test = suite<{ home: string }>('ports')
const outside = process.env.XDG_DATA_HOME
const host = '127.0.0.1'

test.before.each((context) => {
  context.home = mkdtempSync(join(tmpdir(), 'ports-'))
  process.env.XDG_DATA_HOME = context.home
})

test.after.each(({ home }) => {
  rmSync(home, { recursive: true, force: true })
  if (outside === undefined) delete process.env.XDG_DATA_HOME
  else process.env.XDG_DATA_HOME = outside
})

function listen(port: number): Promise<Server> {
  const server = createServer()
  return new Promise((resolve) => server.listen(port, host, () => resolve(server)))
}

async function failure(choice: Promise<unknown>): Promise<CliError> {
  return choice.then(
    () => assert.unreachable('it should have failed'),
    (error: CliError) => error,
  ) as Promise<CliError>
}

function reserve(name: string, ports: readonly number[]): void {
  const nodes = ports.map((port, i) => ({ name: `n${i + 1}`, host, port, pid: null }) as LocalNode)
  writeCluster({
    version: 1,
    createdBy: '',
    name,
    clusterId: '',
    group: '',
    dir: '',
    createdAt: '',
    electionTimeoutMs: 1,
    enableFaults: false,
    ephemeral: false,
    nodes,
  })
}

test('from a base the ports are in a row, and one that is taken is named', async () => {
  const base = await freePorts(3)
  assert.equal(await choosePorts({ host, count: 3, base }), [base, base + 1, base + 2])
  const server = await listen(base + 2)
  assert.is(await whyNotFree(host, base + 2), 'it is in use')
  const { code, details } = await failure(choosePorts({ host, count: 3, base }))
  assert.equal([code, details], ['E_PORT', { port: base + 2 }])
  server.close()
})

test('the ports of a cluster that is stopped are its own', async () => {
  const base = await freePorts(3)
  reserve('mine', [base + 1])
  const { code, details } = await failure(choosePorts({ host, count: 2, base }))
  assert.equal([code, details], ['E_PORT', { port: base + 1, cluster: 'mine' }])
})

test('without a base the next block is chosen in which nothing listens and that no cluster owns', async () => {
  const [first] = await choosePorts({ host, count: 3, base: null })
  reserve('mine', [first! + 1])
  const [next, ...rest] = await choosePorts({ host, count: 3, base: null })
  assert.ok(next! > first! + 1)
  assert.equal(rest, [next! + 1, next! + 2])
  const server = await listen(next! + 2)
  const [after] = await choosePorts({ host, count: 3, base: null })
  assert.ok(after! > next! + 2)
  server.close()
})

test('ports that do not exist are a mistake of usage', async () => {
  assert.is((await failure(choosePorts({ host, count: 3, base: 65_534 }))).code, 'E_USAGE')
})

test.run()
