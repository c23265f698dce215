import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { errorName, type Status } from '../../src/raft/errors.js'
import type { SimMember } from '../simulation/member.js'
import { change } from './changes.js'
import { type Story, scenario } from './scenario.js'

type Three = [SimMember, SimMember, SimMember]

/** Hands leadership over and does not wait; 'pending', 'OK' or the name of the error. */
function transfer(story: Story, target: SimMember | null, from: SimMember = story.leader): { outcome: string; message: string } {
  const record = { outcome: 'pending', message: '' }
  const ended = (status: Status) => Object.assign(record, { outcome: status.ok ? 'OK' : errorName(status.code), message: status.message })
  from.run('story:transfer', (node) => node.transferLeadershipTo(target?.peerId ?? null, ended))
  return record
}

scenario(
  'F01 a target whose disk hangs does not take over, and within an election timeout the leader takes writes again',
  { size: 3, killedBy: 'transfer-never-ends' },
  (story) => {
    story.start('n1').write(3)
    const [n1, n2] = story.members as Three

    story.cluster.stallDisk(n2, 5 * story.T)
    story.write(1)
    const record = transfer(story, n2)
    story.wait(1)
    const refused = story.propose(1, n1)
    story.await('it is given up', () => record.outcome !== 'pending', story.T + 10)

    assert.is(record.outcome, 'ERAFTTIMEDOUT')
    story.expectOutcome(refused, 'refused').expectLeader(n1)
    story.write(3)
  },
)

scenario(
  'F01 a target that cannot be reached, is far behind or unknown is refused at once',
  { size: 3, joiners: 1, catchupMargin: 20 },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const [n1, n2, n3, n4] = story.members as [...Three, SimMember]

    cluster.kill(n2)
    story.wait(story.T / 4)
    cluster.stallDisk(n3, 2 * story.T)
    cluster.start(n2)
    story.wait(story.T / 2)
    story.write(30)
    const late = transfer(story, n3)
    const unknown = transfer(story, n4)
    cluster.kill(n2)
    story.wait(story.T / 4)
    const gone = transfer(story, n2)
    story.wait(1)

    assert.equal([late.outcome, unknown.outcome, gone.outcome], ['ECATCHUP', 'EINVAL', 'EHOSTUNREACH'])
    assert.match(late.message, /^10\.0\.0\.3:7000:0:0 lacks \d+ of \d+ entries; at most 20 may be missing$/)
    story.expectLeader(n1)
  },
)

scenario('F02 writes during a transfer are refused or done, none is lost and none is uncertain', { size: 3 }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)
  const [n1, n2] = story.members as Three

  const records = story.propose(20, n1)
  const record = transfer(story, n2)
  for (let i = 0; i < 50; i++) {
    cluster.run(1)
    for (const member of [n1, n2]) records.push(...story.propose(1, member))
  }
  story.await('n2 leads', () => cluster.leader() === n2)
  story.wait(story.T)

  assert.is(record.outcome, 'OK')
  for (const { outcome } of records) assert.ok(outcome === 'acked' || outcome === 'refused', outcome)
  assert.ok(records.filter(({ outcome }) => outcome === 'acked').length > 30, 'most were done')
  story.expectConverged()
})

scenario('F03 who was told to campaign does so without asking first, whatever the old leader still says', { size: 3 }, (story) => {
  story.start('n1').write(3)
  const [n1, n2] = story.members as Three
  const seen: string[] = []
  story.cluster.onEvent = (member, event) => {
    if (event.name === 'prevote.started' || event.name === 'election.started') seen.push(`${member.name} ${event.name}`)
    // The old leader speaks while the votes are under way.
    if (event.name === 'election.started') for (const replicator of heartbeats(n1)) replicator.heartbeat()
  }

  const record = transfer(story, n2)
  story.await('n2 leads', () => story.cluster.leader() === n2, story.T / 4)

  assert.equal(seen, ['n2 election.started'])
  story.wait(1)
  assert.is(record.outcome, 'OK')
  story.expectConverged()
})

scenario(
  'F04 nobody is removed while leadership is handed over, and nothing is handed over amid a change',
  { size: 3, joiners: 1 },
  (story) => {
    story.start('n1').write(3)
    const [n1, n2, n3, n4] = story.members as [...Three, SimMember]

    story.cluster.stallDisk(n2, 3 * story.T)
    story.write(1)
    transfer(story, n2)
    const removal = change(story, [n1, n3], n1)
    story.wait(1)
    assert.is(removal.outcome, 'EBUSY')
    story.await('it leads on', () => n1.node!.isLeader(), 2 * story.T)

    story.cluster.kill(n4)
    change(story, [n1, n2, n3, n4], n1, { catchupTimeoutMs: 3 * story.T })
    story.wait(1)
    const busy = transfer(story, n3, n1)
    story.wait(1)
    assert.equal([busy.outcome, busy.message.split(':')[0]], ['EBUSY', 'Doing another configuration change'])
    story.expectLeader(n1)
  },
)

for (const target of ['n4', null]) {
  const who = target ?? 'whoever is fit'
  scenario(`F05 of five members ${who} takes over at once, past everybody’s stickiness, in one election`, { size: 5 }, (story) => {
    story.start('n1').write(3)
    const elections: string[] = []
    story.cluster.onEvent = (member, event) => event.name === 'election.started' && elections.push(member.name)
    const { term } = story.leader.node!.status()

    const record = transfer(story, target === null ? null : story.member(target))
    story.await('another leads', () => story.cluster.leader() !== null && story.cluster.leader() !== story.member('n1'), story.T / 10)

    story.awaitLeader(story.T / 10)
    assert.equal([elections.length, story.leader.node!.status().term, record.outcome], [1, term + 1, 'OK'])
    if (target) story.expectLeader(story.member(target))
    story.write(1)
    story.expectConverged()
  })
}

scenario('F05 a release is good for one leadership: it does not open the next one to a disturber', { size: 3 }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)
  const [n1, n2, n3] = story.members as Three

  transfer(story, n2)
  story.await('n2 leads', () => cluster.leader() === n2, story.T / 4)
  story.awaitLeader()
  cluster.cutOneWay(n2, n1)
  story.wait(5 * story.T)

  story.expectLeader(n2)
  cluster.heal()
  story.wait(story.T)
  assert.is(n3.node!.leaderId().key, n2.peerId.key)
  story.expectConverged()
})

scenario(
  'F06 a leader that stops hands over to a voter that is up to date, never to one that lags or only listens',
  { size: 3, joiners: 1 },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const [n1, n2, n3, n4] = story.members as [...Three, SimMember]

    cluster.stallDisk(n2, 5 * story.T)
    story.write(20)
    // n4 has the whole log and no vote yet: it catches up together with somebody who is not there.
    change(story, [n1, n2, n3, n4], n1, { catchupTimeoutMs: 5 * story.T })
    story.wait(1)
    let stopped = ''
    n1.run('story:stop', (node) => node.shutdown((status) => (stopped = status.ok ? 'OK' : errorName(status.code))))
    story.await('n3 leads', () => cluster.leader() === n3, story.T / 4)

    story.await('n1 stopped', () => stopped !== '')
    assert.is(stopped, 'OK')
    cluster.kill(n1)
    story.restart(n1)
    story.write(2)
  },
)

function heartbeats(member: SimMember): { heartbeat(): void }[] {
  const { replicators } = member.node!.handler as unknown as { replicators: { all: Iterable<{ heartbeat(): void }> } }
  return [...replicators.all]
}

test.run()
