import { test } from 'uvu'
import type { SimMember } from '../simulation/member.js'
import { type Story, scenario } from './scenario.js'

/** The machine is lost with its disk; it comes back empty, to be rebuilt. */
function wipe(story: Story, member: SimMember): void {
  story.cluster.kill(member)
  member.wipe()
}

const standingOf = (member: SimMember) => member.node?.status().standing ?? 'down'

scenario('E11 a wiped member comes back, is rebuilt and counts again', { size: 3 }, (story) => {
  const { cluster } = story
  const leader = story.start('n1').leader
  story.write(5)
  const lost = story.member('n3')
  wipe(story, lost)
  story.write(5)

  story.restart(lost)
  story.await('it is a member again', () => standingOf(lost) === 'member')

  cluster.kill(story.member('n2'))
  story.write(3)
  story.restart(story.member('n2'))
  story.expectConverged()
  cluster.kill(leader)
  story.awaitLeader()
  story.write(2)
})

test.run()
