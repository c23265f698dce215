import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { AskStanding } from '../../../src/raft/survey.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members, peer } from '../../support/entries.js'
import { NodeBench, T } from '../../support/node-bench.js'

const test = suite('Membership')

/** Stage, voters in force, and the old half while joint. */
function view(bench: NodeBench): string {
  const { conf, old } = bench.impl.configuration
  const ports = (peers: typeof conf) => peers.peers.map((p) => p.port).join()
  return `${bench.node.status().membership.stage} ${ports(conf)}${old.isEmpty ? '' : `|${ports(old)}`}`
}

function add(bench: NodeBench, port = 4, options = {}): void {
  bench.node.addPeer(peer(port), options, bench.tell(`add ${port}`))
  bench.settle()
}

/** A new member that has nothing: it says so, and takes what it is sent. */
function catchUp(bench: NodeBench, port = 4): void {
  bench.stream(port).answerOne({ success: false, lastLogIndex: logIndex(0) })
  bench.take(port)
}

test('an added member receives the log first, then is a member at once, and the change is done when that is committed', () => {
  const bench = NodeBench.leader(6)
  add(bench)
  assert.is(view(bench), 'catching_up 1,2,3')
  assert.equal(bench.node.status().membership.target!.toString(), members(1, 2, 3, 4).toString())
  assert.is(bench.node.status().peers.length, 3)

  bench.stream(4).answerOne({ success: false, lastLogIndex: logIndex(0) })
  assert.is(view(bench), 'catching_up 1,2,3', 'it answers, and has nothing yet')
  bench.stream(4).answerOne()
  bench.stream(4).answerOne()
  bench.settle()
  assert.is(view(bench), 'stable 1,2,3,4')
  bench.take(2)
  assert.is(bench.told.at(-1), 'init OK', 'two of four are no quorum')
  bench.take(4)
  assert.equal([view(bench), bench.told.at(-1)], ['none 1,2,3,4', 'add 4 OK'])
  const stages = bench.environment.events('configuration.stage').map(({ stage, reason }) => `${stage} ${reason}`)
  assert.equal(stages, ['catching_up OK', 'stable OK', 'none OK'])
})

test('more than one member at a time goes by way of both quorums', () => {
  const bench = NodeBench.leader(6)
  bench.node.changePeers(members(1, 4, 5), {}, bench.tell('change'))
  catchUp(bench, 4)
  assert.is(view(bench), 'catching_up 1,2,3', 'all of them first')
  catchUp(bench, 5)
  assert.is(view(bench), 'joint 1,4,5|1,2,3')
  bench.take(4)
  assert.is(view(bench), 'joint 1,4,5|1,2,3', 'the old ones have no quorum')
  bench.take(2)
  assert.is(view(bench), 'stable 1,4,5')
  bench.take(2)
  assert.is(view(bench), 'stable 1,4,5', 'an old member does not count any more')
  bench.take(5)
  assert.equal([view(bench), bench.told.at(-1)], ['none 1,4,5', 'change OK'])
})

/** Ports of the learners in force. */
function learnersOf(bench: NodeBench): string {
  return bench.impl.configuration.learners.map((p) => p.port).join()
}

function change(bench: NodeBench, voters: number[], learners: number[], options = {}): void {
  bench.node.changePeers(members(...voters), { learners: learners.map((n) => peer(n)), ...options }, bench.tell('change'))
  bench.settle()
}

test('a learner receives the log first, is let in by the voters alone, and counts for nothing', () => {
  const bench = NodeBench.leader(6)
  change(bench, [1, 2, 3], [4])
  assert.equal([view(bench), learnersOf(bench)], ['catching_up 1,2,3', ''])
  catchUp(bench, 4)
  assert.equal([view(bench), learnersOf(bench)], ['stable 1,2,3', '4'])
  bench.take(4)
  assert.is(view(bench), 'stable 1,2,3', 'its own acknowledgement is none of a voter')
  bench.take(2)
  assert.equal([view(bench), bench.told.at(-1)], ['none 1,2,3', 'change OK'])
  const before = bench.node.status().committedIndex
  bench.node.apply({ data: Buffer.from('a'), done: null })
  bench.settle()
  bench.take(4)
  assert.is(bench.node.status().committedIndex, before)
})

test('a learner is promoted upon the log that it has, with the connection that it has, once it is level', () => {
  const bench = NodeBench.leader(6)
  change(bench, [1, 2, 3], [4])
  catchUp(bench, 4)
  bench.take(2)
  bench.take(4)
  const stream = bench.stream(4)
  change(bench, [1, 2, 3, 4], [])
  assert.is(bench.stream(4), stream)
  bench.take(4)
  bench.stream(4).answerAll()
  bench.settle()
  assert.equal([view(bench), learnersOf(bench)], ['stable 1,2,3,4', ''])
  bench.take(2)
  bench.take(4)
  assert.equal([view(bench), bench.told.at(-1)], ['none 1,2,3,4', 'change OK'])
})

test('a learner that does not become level in time stays one, and is sent the log on', () => {
  const bench = NodeBench.leader(6)
  change(bench, [1, 2, 3], [4])
  catchUp(bench, 4)
  bench.take(2)
  bench.take(4)
  bench.advance(T / 8)
  bench.stream(4).answerAll({ rebuilding: true })
  bench.settle()
  change(bench, [1, 2, 3, 4], [], { catchupTimeoutMs: T / 4 })
  bench.stream(2).answerAll()
  bench.advance(T / 4)
  assert.equal([bench.told.at(-1), learnersOf(bench)], ['change ECATCHUP', '4'])
  assert.ok(bench.impl.replicators.get(peer(4)), 'it is still a learner')
})

test('a voter is made a learner at once, and a learner and a voter change places by both quorums', () => {
  const bench = NodeBench.leader(6)
  change(bench, [1, 2], [3])
  assert.equal([view(bench), learnersOf(bench)], ['stable 1,2', '3'])
  bench.take(3)
  assert.is(view(bench), 'stable 1,2')
  bench.take(2)
  assert.equal([view(bench), bench.told.at(-1)], ['none 1,2', 'change OK'])
  assert.ok(bench.impl.replicators.get(peer(3)))

  change(bench, [1, 3], [2])
  bench.take(3)
  bench.stream(3).answerAll()
  bench.settle()
  assert.equal([view(bench), learnersOf(bench)], ['joint 1,3|1,2', '2'])
})

test('the same voters and learners change nothing; nobody is both', () => {
  const bench = NodeBench.leader(6)
  change(bench, [1, 2], [3])
  bench.take(2)
  const { lastId } = bench.node.status()
  change(bench, [1, 2], [3])
  assert.equal([bench.told.at(-1), bench.node.status().lastId], ['change OK', lastId])
  change(bench, [1, 2, 3], [3])
  assert.is(bench.told.at(-1), 'change EINVAL')
})

test('who is being rebuilt, or answers no more, is not taken for caught up', () => {
  const bench = NodeBench.leader(6)
  add(bench, 4, { catchupTimeoutMs: T / 2 })
  bench.stream(4).answerOne({ success: false, lastLogIndex: logIndex(0), rebuilding: true })
  bench.stream(4).answerAll({ rebuilding: true })
  bench.settle()
  assert.is(view(bench), 'catching_up 1,2,3')
  bench.advance(T / 2)
  assert.match(bench.impl.membership.status().stage, 'none')
  assert.is(bench.told.at(-1), 'add 4 ECATCHUP')
})

test('a member that is level is added also while nothing is written', () => {
  const bench = NodeBench.leader(6)
  add(bench)
  bench.stream(4).answerOne({ success: true })
  bench.settle()
  assert.is(view(bench), 'stable 1,2,3,4')
})

test('a round of catching up that takes longer than an election timeout is followed by another', () => {
  const bench = NodeBench.leader(6, { catchupMargin: 10 })
  for (let i = 0; i < 20; i++) bench.propose(`${i}`)
  bench.take(2)
  add(bench, 4, { catchupTimeoutMs: 10 * T })
  const answerOthers = () => {
    bench.take(2)
    bench.take(3)
  }
  bench.stream(4).answerOne({ success: false, lastLogIndex: logIndex(0) })
  for (let i = 0; i < T + 100; i += 50) {
    bench.advance(50)
    answerOthers()
  }
  bench.propose('while it is on its way')
  bench.stream(4).answerOne()
  bench.settle()
  assert.is(view(bench), 'catching_up 1,2,3', 'what came meanwhile is the next round')
  bench.take(4)
  assert.is(view(bench), 'stable 1,2,3,4')
})

test('without a time limit the change goes on for as long as the added member answers, as in braft', () => {
  const bench = NodeBench.leader(6)
  add(bench)
  for (let i = 0; i < 3 * T; i += 50) {
    bench.advance(50)
    bench.take(2)
    bench.stream(4).answerAll({ rebuilding: true, success: true })
  }
  assert.is(view(bench).split(' ')[0], 'catching_up', 'a newcomer is in rebuilding for as long as it catches up')

  const silent = NodeBench.leader(6)
  add(silent)
  for (let i = 0; i < T; i += 50) {
    silent.advance(50)
    silent.take(2)
  }
  assert.is(silent.told.at(-1), 'add 4 ECATCHUP')
  assert.is(view(silent), 'none 1,2,3')
  assert.is(silent.stream(4).isOpen, false, 'its replicator stops')
})

test('what cannot be is refused at once', () => {
  const bench = NodeBench.leader(6)
  const refused = (conf = members(1, 2, 3, 4), options = {}) => {
    bench.node.changePeers(conf, options, bench.tell('change'))
    return bench.told.at(-1)
  }
  assert.is(refused(members()), 'change EINVAL')
  assert.is(refused(members(1, 2, 3)), 'change OK')
  assert.is(refused(members(1, 2), { expectConfigIndex: logIndex(7) }), 'change ESTALE')
  add(bench)
  assert.is(refused(members(1, 2)), 'change EBUSY')
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  assert.is(bench.told.at(-1), 'transfer EBUSY')

  const transferring = NodeBench.leader(6)
  transferring.node.transferLeadershipTo(peer(2), transferring.tell('transfer'))
  transferring.node.removePeer(peer(3), {}, transferring.tell('remove'))
  assert.is(transferring.told.at(-1), 'remove EBUSY')
  const follower = NodeBench.follower(5)
  follower.node.removePeer(peer(3), {}, follower.tell('remove'))
  assert.equal([follower.told.at(-1), follower.node.listPeers()], ['remove EPERM', null])
  const young = NodeBench.follower(5)
  young.elect()
  young.node.removePeer(peer(3), {}, young.tell('remove'))
  assert.is(young.told.at(-1), 'remove EBUSY')
})

test('a leader that steps down says what became of the change as far as it knows', () => {
  const catching = NodeBench.leader(6)
  add(catching)
  catching.append(2, 7)
  assert.equal([catching.told.at(-1), view(catching)], ['add 4 EPERM', 'none 1,2,3'])

  const appended = NodeBench.leader(6)
  appended.node.removePeer(peer(3), {}, appended.tell('remove'))
  appended.settle()
  assert.is(view(appended), 'stable 1,2')
  appended.append(2, 7)
  assert.is(appended.told.at(-1), 'remove EOUTCOMEUNKNOWN')
})

test('a leader that was removed takes no change more while it waits to hand over: one could make it follow itself', () => {
  const bench = NodeBench.leader(6)
  bench.node.changePeers(members(2, 3), {}, bench.tell('change'))
  bench.settle()
  assert.is(view(bench), 'stable 2,3')
  // As for a member that is being rebuilt: what is in force is not committed yet when the change is over.
  bench.impl.proposeConfiguration(bench.impl.configuration, null)
  bench.settle()
  for (const port of [2, 3]) bench.stream(port).answerOne()
  bench.settle()
  assert.equal([view(bench), bench.told.at(-1), bench.state], ['none 2,3', 'change OK', 'LEADER'])
  bench.node.addPeer(peer(1), {}, bench.tell('add 1'))
  bench.settle()
  assert.equal([view(bench), bench.told.at(-1)], ['none 2,3', 'add 1 EBUSY'])
  for (const port of [2, 3]) bench.take(port)
  assert.is(bench.state, 'TRANSFERRING')
})

test('a removed member is told that this is committed, then left alone', () => {
  const bench = NodeBench.leader(6)
  bench.node.removePeer(peer(3), {}, bench.tell('remove'))
  bench.settle()
  bench.take(2)
  assert.is(bench.told.at(-1), 'remove OK')
  assert.is(bench.stream(3).isOpen, true)
  assert.equal(
    bench.node.status().peers.map((p) => p.peerId.port),
    [2],
  )
  bench.take(3)
  bench.advance(T / 10)
  assert.ok(bench.stream(3).newest.committedIndex >= 2)
  bench.take(3)
  assert.is(bench.stream(3).isOpen, false)
})

test('a removed member that does not answer is left alone after a while', () => {
  const bench = NodeBench.leader(6)
  bench.node.removePeer(peer(3), {}, bench.tell('remove'))
  bench.settle()
  for (let i = 0; i < 3 * T; i += 50) {
    bench.take(2)
    bench.advance(50)
  }
  assert.is(bench.stream(3).isOpen, false)
})

test('resetPeers sets the members in memory, raises the term, and waits to win with them', () => {
  const bench = NodeBench.follower(5)
  assert.is(bench.node.resetPeers(members()).code, ErrorCode.EINVAL)
  assert.is(bench.node.resetPeers(members(1, 2, 3)).ok, true)
  assert.is(bench.term, 5, 'nothing changes')

  assert.is(bench.node.resetPeers(members(1)).ok, true)
  bench.settle()
  assert.equal([bench.term, view(bench), bench.node.status().configurationCommitted], [6, 'none 1', false])
  bench.until('it leads', () => bench.state === 'LEADER')
  bench.settle()
  const { configuration: written, configurationCommitted } = bench.node.status()
  assert.equal([written.configIndex, configurationCommitted], [1, true])

  const busy = NodeBench.leader(6)
  add(busy)
  assert.is(busy.node.resetPeers(members(1)).code, ErrorCode.EBUSY)
})

test('a member that is added again hears of its earlier removal, and of nothing more', () => {
  const bench = NodeBench.follower(5, { conf: members() })
  const removed = () => bench.events('node.removed').length
  const first = batch(1, 5, [configuration(members(1, 2, 3)), 'a', configuration(members(2, 3)), 'b'])
  bench.append(2, 5, { entries: first, committed: 4 })
  for (let i = 0; i < 3 * T; i += 50) {
    bench.advance(50)
    bench.append(2, 5, { prev: [4, 5], committed: 4 })
  }
  const questions = () => bench.transport.open('preVote')
  assert.is(questions().length, 0, 'its leader still speaks to it')
  bench.append(2, 5, { prev: [4, 5], entries: batch(5, 5, [configuration(members(1, 2, 3))]), committed: 5 })
  bench.advance(2 * T)
  assert.is(removed(), 0)
  bench.append(2, 5, { prev: [5, 5], entries: batch(6, 5, [configuration(members(2, 3))]), committed: 6 })
  bench.held.meta = true
  bench.append(3, 6, { prev: [6, 5], committed: 6 })
  bench.advance(5 * T)
  assert.is(questions().length, 0, 'its term is not durable')
  bench.held.meta = false
  bench.until('it asks both', () => questions().length >= 2)
  const [{ request }] = questions() as [ReturnType<typeof questions>[number]]
  assert.equal([request.term, request.lastLogIndex, request.lastLogTerm], [7, 6, 5])
  assert.is(removed(), 0, 'its log alone proves nothing')
  const answer = (code: number) => {
    for (const call of questions()) call.finish({ ok: false, code } as never)
    bench.settle()
  }
  answer(ErrorCode.EHOSTDOWN)
  assert.is(removed(), 0)
  bench.until('it asks again', () => questions().length >= 2)
  answer(ErrorCode.EREMOVED)
  assert.is(removed(), 1)
  bench.until('it asks once more', () => questions().length >= 2)
  answer(ErrorCode.EREMOVED)
  assert.is(removed(), 1, 'once')
})

test('where braft members may be, a removed member asks the others for their members', () => {
  const asked: ((last: number, ...of: number[]) => void)[] = []
  const askStanding: AskStanding = (_peer, _timeoutMs, done) => {
    asked.push((last, ...of) => {
      const lastId = { index: logIndex(last), term: asTerm(5) }
      done(Status.OK, { term: asTerm(5), leads: false, lastId, members: of.map((n) => peer(n)), isChanging: false })
      bench.settle()
    })
    return { cancel: () => {} }
  }
  const bench = NodeBench.follower(5, { conf: members(), askStanding })
  const entries = batch(1, 5, [configuration(members(1, 2, 3, 4, 5)), configuration(members(2, 3, 4, 5))])
  bench.append(2, 5, { entries, committed: 2 })
  const out = [2, 3, 4, 5]
  const round = (...answers: [number, ...number[]][]) => {
    bench.until('it asks all', () => asked.length === 4)
    for (const answer of asked.splice(0)) answer(...answers.shift()!)
    return bench.events('node.removed').length
  }

  assert.is(round([3, ...out], [3, ...out], [1, ...out], [1, ...out]), 0, 'two of them know less than this member does')
  assert.is(round([3, ...out], [3, ...out], [3, ...out], [4, 1, ...out]), 0, 'one of them counts it')
  assert.is(round([3, ...out], [3, ...out], [2, ...out], [1, ...out]), 1)
})

test('who was told in an earlier round that it is removed may be added again meanwhile', () => {
  const bench = NodeBench.follower(5)
  const { transport } = bench
  for (const teller of [2, 3]) {
    bench.until('a pre-vote', () => transport.open('preVote').length === 2)
    transport.open('preVote', peer(teller))[0]!.finish({ ok: false, code: ErrorCode.EREMOVED } as never)
    bench.refuse('preVote', teller === 2 ? 3 : 2)
    bench.advance(2 * T)
  }
  assert.is(bench.events('node.removed').length, 0)
})

test('a removal that is not committed, and one by hand, end no membership', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5, { entries: batch(1, 5, [configuration(members(1, 2, 3)), configuration(members(2, 3))]), committed: 1 })
  bench.advance(5 * T)
  assert.is(bench.events('node.removed').length, 0)
  assert.ok(bench.node.resetPeers(members(2)).ok)
  bench.advance(5 * T)
  assert.is(bench.events('node.removed').length, 0)
})

test('a candidate is told that it is removed when that is committed here and its log ends before', () => {
  const bench = NodeBench.follower(5)
  const entries = batch(1, 5, [configuration(members(1, 2, 3)), 'a', configuration(members(1, 2))])
  bench.append(2, 5, { entries, committed: 2 })
  bench.advance(3 * T)
  assert.is(bench.vote('preVote', 3, 6, [2, 5]).status!.ok, true, 'not committed yet')
  bench.append(2, bench.term, { prev: [3, 5], committed: 3 })
  bench.advance(3 * T)
  assert.is(bench.vote('preVote', 3, 7, [2, 5]).status!.code, ErrorCode.EREMOVED)
  assert.is(bench.vote('preVote', 3, 7, [9, 6]).status!.ok, true, 'it knows more than this member does')
  assert.is(bench.vote('preVote', 2, 7, [2, 5]).status!.ok, true, 'a member')
})

test('a majority of the others is believed, a single one is not', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  const { open } = bench.transport
  const refuse = (n: number) => open.call(bench.transport, 'preVote', peer(n))[0]!.finish({ ok: false, code: ErrorCode.EREMOVED } as never)
  refuse(2)
  bench.settle()
  assert.is(bench.events('node.removed').length, 0)
  refuse(3)
  bench.settle()
  assert.is(bench.events('node.removed').length, 1)
  assert.is(bench.term, asTerm(5))
})

test('without a leader a member takes no task and no change of the members', () => {
  const bench = NodeBench.follower(5)
  bench.propose('task')
  add(bench)
  bench.node.removePeer(peer(3), {}, bench.tell('remove'))
  assert.equal(bench.told.slice(1), ['task EPERM', 'add 4 EPERM', 'remove EPERM'])
  assert.is(view(bench), 'none 1,2,3')
})

test('resetPeers makes a node that has no members the leader of itself', () => {
  const bench = new NodeBench({ conf: members() }).init()
  bench.advance(3 * T)
  assert.equal([bench.state, bench.term], ['FOLLOWER', 1])
  assert.ok(bench.node.resetPeers(members(1)).ok)
  bench.until('it leads', () => bench.node.isLeader())
  bench.settle()
  bench.propose('task')
  assert.equal([bench.told.at(-1), view(bench)], ['task OK', 'none 1'])
})

test.run()
