// How the pages of braft processes are asked for, and what is made of those that are odd.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BraftEngine } from '../../../src/admin/engines/braft.js'
import { BraftPages } from '../../../src/admin/engines/braft-pages.js'
import type { ChangeProgress } from '../../../src/admin/engines/engine.js'
import { FakeBraftCluster, FakeBraftNode } from '../../support/fake-braft.js'
import { FakeNode } from '../../support/fake-control.js'
import { refused } from '../../support/refused.js'
import { connection } from './fake-engine.js'

const test = suite('pages of braft')
let node: FakeBraftNode
test.before.each(async () => {
  node = await FakeBraftNode.listen('Counter')
})
test.after.each(() => node.close())

const settings = { ...connection, group: 'Counter', timeoutMs: 10_000, connectTimeoutMs: 10_000 }

test('a group that is named is that group, and no other', async () => {
  using pages = new BraftPages(settings)
  node.otherGroups.push('Other')
  assert.is((await pages.node(node.address, 'Counter')).stat.group, 'Counter')
  const { code, details } = await refused(pages.node(node.address, 'Nope'))
  assert.equal([code, details.groups], ['E_NO_GROUP', ['Counter', 'Other']])
})

test('without a name the only group is meant, on every node the same; of several it is asked which', async () => {
  using pages = new BraftPages({ ...settings, group: 'kv', anyGroup: true })
  assert.is((await pages.node(node.address, 'kv')).stat.group, 'Counter')
  const other = await FakeBraftNode.listen('Other')
  try {
    assert.is((await refused(pages.node(other.address, 'kv'))).code, 'E_NO_GROUP')
    using both = new BraftPages({ ...settings, group: 'kv', anyGroup: true })
    const asked = await Promise.allSettled([node, other].map(({ address }) => both.node(address, 'kv')))
    assert.equal(asked.map(({ status }) => status).sort(), ['fulfilled', 'rejected'], 'also of two that are asked at once')
    using anew = new BraftPages({ ...settings, group: 'kv', anyGroup: true })
    other.otherGroups.push('Third')
    const { code, message } = await refused(anew.node(other.address, 'kv'))
    assert.equal([code, message.includes('say which with --group (Other, Third)')], ['E_USAGE', true])
  } finally {
    other.close()
  }
})

test('a name that would have to be escaped is looked for on the page of all', async () => {
  using pages = new BraftPages(settings)
  const odd = await FakeBraftNode.listen('a/b c')
  try {
    assert.is((await pages.node(odd.address, 'a/b c')).stat.peerId, odd.peerId)
  } finally {
    odd.close()
  }
})

test('two nodes of one group in a process are not told apart, so nothing is done to either', async () => {
  using pages = new BraftPages(settings)
  node.otherGroups.push('Counter')
  assert.is((await refused(pages.node(node.address, 'Counter'))).code, 'E_UNSUPPORTED')
})

test('what a process tells besides is asked for once in a while, and may be hidden', async () => {
  using pages = new BraftPages(settings)
  assert.equal(await pages.process(node.address), { pid: 4242, uptimeMs: 125_910, revision: 'ab0017f' })
  node.hidesVars = true
  assert.is((await pages.process(node.address)).pid, 4242, 'what was known a moment ago')
  using anew = new BraftPages(settings)
  assert.equal(await anew.process(node.address), { pid: null, uptimeMs: null, revision: null })
})

test('what answers without such a page, or not at all, is unreachable, and how far it came is said', async () => {
  using pages = new BraftPages(settings)
  const ours = await FakeNode.listen()
  try {
    const { code, details } = await refused(pages.node(ours.address, 'Counter'))
    assert.equal([code, details.stage], ['E_UNREACHABLE', 'http'])
  } finally {
    ours.close()
  }
  node.text = () => '<html>busy</html>'
  const html = await refused(pages.node(node.address, 'Counter'))
  assert.equal([html.code, html.message.includes('serves no /raft_stat that can be read')], ['E_UNREACHABLE', true])
  Object.assign(node, { text: () => '', pageStatus: 503 })
  const busy = await refused(pages.node(node.address, 'Counter'))
  assert.equal([busy.code, busy.message.includes('HTTP status 503')], ['E_UNREACHABLE', true])
  const gone = await refused(pages.node('127.0.0.1:9', 'Counter'))
  assert.equal([gone.code, gone.details.stage, gone.details.reason], ['E_UNREACHABLE', 'tcp', 'connection refused'])
})

test('how far a new member is: by the page of the leader, and that it does not answer', async () => {
  const cluster = await FakeBraftCluster.start()
  using engine = new BraftEngine({ ...settings, endpoints: [cluster.nodes[0]!.address] })
  try {
    cluster.catchUpPages = null
    const fresh = await cluster.newcomer()
    const seen: ChangeProgress[] = []
    const interrupted = new AbortController()
    const change = engine.changeMembers(
      {
        ...{ endpoint: cluster.leader.address, group: 'Counter', add: [{ id: fresh.address, peerId: fresh.peerId }], remove: [] },
        ...{ expectConfigIndex: null, expectVoters: null, dryRun: false, force: false, catchupTimeoutMs: 60_000, reason: null },
        signal: interrupted.signal,
      },
      (progress) => {
        seen.push(progress)
        const replicator = cluster.leader.state.replicators.get(fresh.peerId)
        if (progress.stage !== 'catching_up' || !replicator) return
        if (progress.state === 'snapshot') Object.assign(replicator, { activity: 'idle', next: 50 })
        else if (progress.stalled === null) Object.assign(replicator, { activity: 'blocking', errors: 7 })
        else interrupted.abort()
      },
    )
    const { code, message } = await refused(change)
    assert.equal([code, message.includes('the leader goes on with it')], ['E_OUTCOME_UNKNOWN', true])
    const catching = seen.filter(({ stage }) => stage === 'catching_up')
    const told = catching.map(({ state, matchIndex, lastIndex, stalled }) => [state, matchIndex, lastIndex, stalled])
    const once = told.filter((one, at) => JSON.stringify(one) !== JSON.stringify(told[at - 1]))
    assert.equal(once, [
      ['snapshot', 0, 82, null],
      ['replicate', 49, 82, null],
      ['replicate', 49, 82, 'does not answer the leader (7 requests in a row failed)'],
    ])
  } finally {
    cluster.close()
  }
})

test.run()
