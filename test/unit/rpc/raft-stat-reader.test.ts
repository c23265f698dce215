import { readFileSync } from 'node:fs'
import * as http from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, type Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { MemberStanding } from '../../../src/raft/survey.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { Faults } from '../../../src/rpc/faults.js'
import { NodeManager } from '../../../src/rpc/node-manager.js'
import { raftStatPage } from '../../../src/rpc/raft-stat.js'
import { askStanding, standingIn } from '../../../src/rpc/raft-stat-reader.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { FakeNode, FIXTURES, peer } from '../../support/rpc.js'

const pages = [0, 1, 2, 3].map((n) => readFileSync(new URL(`counter-4-peers/raft_stat_${n}.txt`, FIXTURES), 'utf8'))
const members = [8500, 8501, 8503].map((port) => peer(`127.0.0.1:${port}`))
const closers: (() => unknown)[] = []

test.after.each(async () => {
  for (const close of closers.splice(0)) await close()
})

test('the pages of real braft nodes say in what term they are, who leads, how far their logs go, and who the members are', () => {
  const lastId = { index: logIndex(82), term: asTerm(3) }
  assert.equal(standingIn(pages[0]!, members[0]!), { term: asTerm(3), leads: false, lastId, members, isChanging: false })
  assert.equal(standingIn(pages[1]!, members[1]!), { term: asTerm(3), leads: true, lastId, members, isChanging: false })
  assert.is(standingIn(pages[2]!, peer('127.0.0.1:8502'))?.leads, false)
})

test('a leader whose last change may not be committed says so, unless its page names who was a member before', () => {
  const page = (...lines: string[]) =>
    pages[1]!.replace(/changing_conf: .*\r\n/, ['changing_conf: YES    stage: STAGE_STABLE', ...lines, ''].join('\r\n'))
  const [two, three] = ['127.0.0.1:8500:0:0 127.0.0.1:8501:0:0', '127.0.0.1:8500:0:0 127.0.0.1:8501:0:0 127.0.0.1:8502:0:0']
  const isChanging = (...lines: string[]) => standingIn(page(...lines), members[1]!)!.isChanging
  assert.is(isChanging(`new_peers: ${two}`), true, 'ours name none')
  assert.is(isChanging(`new_peers: ${two}`, `old_peers: ${two}`), true, 'a braft leader that inherited the change')
  assert.is(isChanging(`new_peers: ${two}`, `old_peers: ${three}`), false)
  assert.is(isChanging(), true, 'the first entry of the term')
})

test('a page of several groups or nodes is read where it speaks of the one', () => {
  const both = `${pages[0]}${pages[1]}`
  assert.equal([standingIn(both, members[0]!)?.leads, standingIn(both, members[1]!)?.leads], [false, true])
  assert.is(standingIn(both, members[2]!), null)
})

test('everybody in a change of the members is named: those before, those after, and those in force', () => {
  const changed = pages[1]!.replace(
    /changing_conf: .*\r\n/,
    'changing_conf: YES    stage: STAGE_JOINT\r\nnew_peers: 127.0.0.1:8500:0:0 127.0.0.1:8510:0:0\r\nold_peers: 127.0.0.1:8511:0:0\r\n',
  )
  assert.equal(
    standingIn(changed, members[1]!)?.members.map(({ port }) => port),
    [8500, 8501, 8503, 8510, 8511],
  )
})

test('what lacks a line, or comes from a node that does not run, says nothing', () => {
  for (const broken of [
    '',
    pages[0]!.replace(/term: \d+/, 'term: x'),
    pages[0]!.replace(/last_log_id: .*\n/, ''),
    pages[0]!.replace('FOLLOWER', 'ERROR'),
    pages[0]!.replace('FOLLOWER', 'UNINITIALIZED'),
    pages[0]!.replace(/peers: .*\r\n/, 'peers: nobody\r\n'),
  ])
    assert.is(standingIn(broken, members[0]!), null, broken.slice(0, 60))
})

test('our own page says the same of a node as its status', () => {
  const nodes = new NodeManager<FakeNode>()
  const node = new FakeNode('Counter', members[0]!)
  nodes.add(node)
  const read = standingIn(raftStatPage(nodes, 'Counter', 'plain'), node.peerId)
  const { term, lastId, configuration } = node.status()
  assert.equal(read, { term, leads: false, lastId, members: configuration.conf.peers, isChanging: false })
})

/** A server of one page, and what is asked of it. */
async function serve(answer: (request: http.IncomingMessage, response: http.ServerResponse) => void) {
  const asked: { path: string; agent: string | undefined }[] = []
  const server = http.createServer((request, response) => {
    asked.push({ path: request.url!, agent: request.headers['user-agent'] })
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { peerId: new PeerId('127.0.0.1', (server.address() as AddressInfo).port), asked }
}

function ask(to: PeerId, timeoutMs = 5000): Promise<MemberStanding | Status> {
  const context = { executor: new EventLoopExecutor(), faults: new Faults(false) }
  return new Promise((resolve) =>
    askStanding(context, 'my group', { peer: to, timeoutMs }, (status, standing) => resolve(standing ?? status)),
  )
}

test('the page of the group is asked for as text; no page, another page and silence are errors', async () => {
  let page = ''
  const { peerId, asked } = await serve((_request, response) => response.end(page))
  page = pages[1]!.replaceAll('127.0.0.1:8501', peerId.address)
  assert.is(((await ask(peerId)) as MemberStanding).leads, true)
  assert.equal(asked, [{ path: '/raft_stat/my%20group', agent: undefined }])
  page = pages[0]!
  assert.is(((await ask(peerId)) as Status).code, ErrorCode.EREQUEST)
  const missing = await serve((_request, response) => response.writeHead(404).end(page))
  assert.is(((await ask(missing.peerId)) as Status).code, ErrorCode.EREQUEST)
  const silent = await serve(() => {})
  assert.is(((await ask(silent.peerId, 100)) as Status).code, ErrorCode.ETIMEDOUT)
  const endless = await serve((_request, response) => {
    const timer = setInterval(() => response.write('x'.repeat(200_000)), 1)
    response.once('close', () => clearInterval(timer))
  })
  assert.is(((await ask(endless.peerId)) as Status).code, ErrorCode.EHOSTDOWN)
})

test.run()
