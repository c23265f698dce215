import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodePut, KvMachine } from '../simulation/kv-machine.js'
import type { SimMember } from '../simulation/member.js'
import { type Story, scenario } from './scenario.js'

const KEY_VALUE = { size: 3, createMachine: (...wiring: ConstructorParameters<typeof KvMachine>) => new KvMachine(...wiring) }

/** How often a key was written, as a member's machine has it. */
function versionOf(member: SimMember, key: string): number {
  const { kv } = member.machine as KvMachine
  return kv.store.get(key)?.version ?? 0
}

function put(story: Story, through: SimMember, sequence: number, value: string) {
  const payload = encodePut({ clientId: 'c1', sequence, key: 'k', value })
  return story.cluster.write(through, 0, { payload })
}

scenario('C06 a command that is sent again to the next leader is applied once', KEY_VALUE, (story) => {
  const { cluster } = story
  const n1 = story.start('n1').leader
  for (let sequence = 1; sequence <= 3; sequence++) put(story, n1, sequence, `${sequence}`)
  story.await('three puts are applied', () => versionOf(n1, 'k') === 3)

  // The leader commits the fourth and dies; its client cannot know.
  const fourth = put(story, n1, 4, 'four')
  story.await('the leader has committed it', () => fourth.outcome === 'acked')
  cluster.crash(n1)
  story.await('another leads', () => cluster.leader() !== null)
  const again = put(story, story.leader, 4, 'four')
  story.await('the second try is answered', () => again.outcome === 'acked')

  story.restart(n1).expectConverged()
  for (const member of story.members) assert.is(versionOf(member, 'k'), 4, `${member.name} applied the retry`)
})

scenario('C07 members that applied the same log hold the same state, sessions included, after every restart', KEY_VALUE, (story) => {
  const { cluster } = story
  story.start('n1')
  for (let round = 0; round < 5; round++) {
    for (let i = 1; i <= 10; i++) put(story, story.leader, round * 5 + i, `${round}/${i}`)
    story.wait(20)
    for (const member of story.members) cluster.crash(member)
    story.restart(...story.members).awaitLeader()
    story.expectConverged()
    const hashes = new Set(story.members.map((member) => member.machine!.stateHash()))
    assert.is(hashes.size, 1)
  }
  assert.ok((story.member('n1').machine as KvMachine).kv.store.revision > 10)
})

test.run()
