import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SimMember } from '../simulation/member.js'
import { changed } from './changes.js'
import { type Story, scenario } from './scenario.js'

const LEASES = { node: { leaderLease: true }, clockRates: [0.96, 1.04, 1, 0.97, 1.03] } as const

/** From now on no two members hold a lease at the same moment, whatever happens: that is looked at after every event. */
function oneLeaseAtATime({ cluster }: Story): { held: Set<string> } {
  const { scheduler } = cluster
  const { afterEvent } = scheduler
  const seen = { held: new Set<string>() }
  scheduler.afterEvent = (event) => {
    afterEvent(event)
    const holders = cluster.up.filter(({ node }) => node!.isLeaderLeaseValid())
    assert.ok(holders.length <= 1, `${holders.map(({ name }) => name)} hold a lease at the same time: ${cluster.describe()}`)
    for (const { name } of holders) seen.held.add(name)
  }
  return seen
}

const leaseOf = (member: SimMember) => member.node!.getLeaderLeaseStatus().state

for (const size of [3, 5]) {
  scenario(
    `of ${size} members, whom leadership is handed to holds the lease at once, and nobody else does`,
    { ...LEASES, size },
    (story) => {
      const [n1, n2] = story.start('n1').members as [SimMember, SimMember]
      const leases = oneLeaseAtATime(story)
      story.write(3)
      assert.equal([leaseOf(n1), leaseOf(n2)], ['valid', 'expired'])
      const { term } = n1.node!.status()

      n1.run('story:transfer', (node) => node.transferLeadershipTo(n2.peerId, () => {}))
      story.await('n2 is ready', () => story.cluster.readyLeader() === n2, story.T / 2)

      assert.equal([leaseOf(n1), leaseOf(n2)], ['expired', 'valid'])
      assert.is(n2.node!.getLeaderLeaseStatus().term, term + 1)
      const read = story.read(n2, 0, 'lease')
      story.await('it answers by its lease', () => read.answered, story.T)
      assert.ok(read.status.ok)
      assert.equal([...leases.held], ['n1', 'n2'])
    },
  )
}

scenario(
  'a leader that removes itself gives its lease up, and another holds one within half an election timeout',
  { ...LEASES, size: 1, joiners: 3 },
  (story) => {
    const [n1, ...others] = story.start('n1').members as [SimMember, ...SimMember[]]
    const leases = oneLeaseAtATime(story)
    for (let n = 1; n <= 3; n++) changed(story, [n1, ...others.slice(0, n)], n1)
    story.write(3)
    assert.is(leaseOf(n1), 'valid')

    changed(story, others, n1)
    const since = story.cluster.now
    story.await('another is ready', () => others.includes(story.cluster.readyLeader()!), story.T / 2)

    assert.is(leaseOf(story.leader), 'valid', `after ${story.cluster.now - since} ms`)
    assert.is.not(leaseOf(n1), 'valid')
    story.write(3)
    assert.is(leases.held.size, 2)
  },
)

scenario(
  'while one member becomes ten and one again, there is one lease at a time, and the leader keeps it',
  { ...LEASES, size: 1, joiners: 9 },
  (story) => {
    const { members } = story.start('n1')
    const leases = oneLeaseAtATime(story)
    for (let n = 2; n <= 10; n++) {
      changed(story, members.slice(0, n))
      assert.is(leaseOf(story.leader), 'valid', `with ${n} members`)
    }
    story.write(3)
    for (let n = 9; n >= 1; n--) {
      changed(story, [members[0]!, ...members.slice(10 - n + 1, 10)])
      assert.is(leaseOf(story.leader), 'valid', `with ${n} members left`)
    }
    story.write(3)
    assert.equal([...leases.held], ['n1'])
  },
)

for (const size of [3, 5]) {
  scenario(
    `members of ${size} start, stop, hand over, are cut off and told to campaign: one lease at a time`,
    { ...LEASES, size },
    (story) => {
      const { cluster } = story
      story.start()
      const leases = oneLeaseAtATime(story)
      const random = cluster.random.fork('story')
      const any = <T>(ones: readonly T[]) => ones[random.below(ones.length)]!
      const leading = () => cluster.up.find((member) => member.node!.isLeader())
      const deeds: Record<string, () => void> = {
        start: () => {
          const down = story.members.filter((member) => !member.isUp)
          if (down.length > 0) cluster.start(any(down))
        },
        stop: () => {
          if (cluster.up.length > size - (size - 1) / 2) cluster.kill(any(cluster.up))
        },
        transfer: () => {
          const target = any(story.members)
          leading()?.run('story:transfer', (node) => node.transferLeadershipTo(target.peerId, () => {}))
        },
        vote: () => any(cluster.up).run('story:vote', (node) => node.vote(() => {}, story.T / 10)),
        timeout: () => {
          const timeoutMs = random.between(story.T / 10, story.T)
          any(cluster.up).run('story:timeout', (node) => node.resetElectionTimeoutMs(timeoutMs))
        },
        cut: () => cluster.isolate(leading() ?? any(story.members)),
        heal: () => cluster.heal(),
      }
      for (let i = 0; i < 120; i++) {
        any(Object.values(deeds))()
        if (i % 4 === 0 && leading()) story.propose(1, leading())
        story.wait(random.between(1, story.T / 2))
      }
      cluster.heal()
      for (const member of story.members) {
        cluster.start(member)
        member.run('story:timeout', (node) => node.resetElectionTimeoutMs(story.T))
      }
      story.wait(story.T).awaitLeader()
      story.expectConverged()
      assert.ok(leases.held.size > 1, `${[...leases.held]}`)
    },
  )
}

test.run()
