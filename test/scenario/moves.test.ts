import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SimDisk } from '../../src/testing/sim-disk.js'
import type { SimMember } from '../simulation/member.js'
import { MemberImage } from '../simulation/member-image.js'
import { changed, expectVoters } from './changes.js'
import { type Story, scenario } from './scenario.js'

type Four = [SimMember, SimMember, SimMember, SimMember]

/** Both machines stop, and each gets the disk of the other; their processes are told of that by --moved. */
function exchangeDisks(story: Story, one: SimMember, other: SimMember): void {
  // What checks the members must know that what was promised at these addresses is gone from them.
  const [keptOne, keptOther] = [takeOut(story, one), takeOut(story, other)]
  Object.assign(one.disk, keptOther)
  Object.assign(other.disk, keptOne)
  // Readings of a disk are kept as long as nothing changes on it; these are others.
  for (const member of [one, other]) Object.assign(member, { moved: true, image: new MemberImage(member.disk, member.directory) })
}

function takeOut(story: Story, member: SimMember): Partial<SimDisk> {
  const disk = member.disk as SimDisk & Record<string, unknown>
  const kept: Partial<SimDisk> = { ...disk }
  disk.wipe = () => {}
  story.wipe(member)
  delete (disk as { wipe?: unknown }).wipe
  return kept
}

scenario(
  'E15 a machine that comes back at another address counts there once it was put in the place of the old one, and not before',
  { size: 3, joiners: 1 },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3, n4] = story.start('n1').members as Four
    story.write(5)
    // n4 is the new address of the machine that was n3.
    exchangeDisks(story, n3, n4)
    story.restart(n4)
    const said: string[] = []
    cluster.onEvent = (member, event) => {
      if (member === n4 && (event.name === 'vote.granted' || event.name === 'prevote.started' || event.name === 'election.started'))
        said.push(event.name)
    }
    story.wait(5 * story.T)
    story.write(2)
    assert.is(n4.node!.status().standing, 'rebuilding')
    assert.ok(n4.node!.status().lastId.index >= 5, 'it has the log that it had')
    cluster.kill(n2)
    story.await('one of two is no quorum, whatever n4 holds', () => cluster.leader() === null)
    assert.equal(said, [])
    story.restart(n2)
    story.awaitLeader()

    changed(story, [n1, n2, n4])
    expectVoters(story, [n1, n2, n4])
    assert.is(n4.node!.status().standing, 'member')
    cluster.kill(story.leader === n1 ? n2 : n1)
    story.write(2)
  },
)

scenario(
  "E15 two machines that come back at each other's address vote and acknowledge nothing there that the other one might have promised",
  { size: 5, killedBy: 'moved-directory-counts' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3] = story.start('n1').members as Four
    story.write(5)
    cluster.kill(n3)
    story.write(5)
    exchangeDisks(story, n2, n3)
    const votes: string[] = []
    const began: string[] = []
    cluster.onEvent = (member, event) => {
      if (member !== n2 && member !== n3) return
      const said = `${member.name} ${member.node!.status().standing}`
      if (event.name === 'node.started') began.push(said)
      if (event.name === 'vote.granted') votes.push(said)
    }
    story.restart(n2, n3)
    story.await('they run', () => began.length === 2)
    // The three others are a quorum without these.
    story.await('they count again, as of entries that a quorum without them holds', () => n2.image.isMember && n3.image.isMember)
    assert.equal(began.sort(), ['n2 rebuilding', 'n3 rebuilding'])
    cluster.kill(n1)
    story.await('another leads', () => cluster.readyLeader() !== null)
    assert.equal(
      votes.filter((vote) => vote.includes('rebuilding')),
      [],
    )
    story.write(3)
  },
)

test.run()
