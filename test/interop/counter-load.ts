import type { SimRandom } from '../../src/testing/sim-random.js'
import { CounterClient } from './counter-client.js'
import { IncrementHistory } from './increment-history.js'
import type { InteropGroup } from './interop-group.js'
import { snapshotValue } from './member-logs.js'
import type { Scene } from './scenario.js'

export interface LoadOptions {
  readonly clients: number
  readonly pauseMs?: number
}

/** Several clients that add to the counter of a group until they are told to stop. */
export class CounterLoad {
  readonly history = new IncrementHistory()
  private readonly clients: CounterClient[]

  constructor(group: InteropGroup, random: SimRandom, options: LoadOptions) {
    this.clients = Array.from({ length: options.clients }, (_, id) =>
      new CounterClient({
        ...{ id, history: this.history, random: random.fork(`client ${id}`), members: () => group.peers },
        ...(options.pauseMs === undefined ? {} : { pauseMs: options.pauseMs }),
      }).start(),
    )
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.stop()))
  }
}

/** Adds while the story is told, however that ends. */
export async function underLoad(scene: Scene, group: InteropGroup, options: LoadOptions, story: () => Promise<void>): Promise<CounterLoad> {
  const load = new CounterLoad(group, scene.random, options)
  try {
    await story()
  } finally {
    await load.stop()
  }
  scene.note('the load is over')
  return load
}

/**
 * The end of a run under load: every member comes level, holds the same entries and the same value, and that value is made of
 * what was acknowledged, once each, and of what may have been counted.
 */
export async function settle(scene: Scene, group: InteropGroup, load: CounterLoad): Promise<void> {
  const { counts, problems } = scene
  const leader = await group.level()
  const { compared, problems: different } = group.compareLogs(leader.stat.peers)
  counts.compared += compared
  problems.push(...different)
  const value = await group.calls.value(leader.stat.peerId)
  if (value === null) throw new Error(`${leader.member.name} led a moment ago and answers no read`)
  const held = await group.snapshots(leader.stat.peers)
  for (const { member, index } of held) {
    const its = snapshotValue(member.groupDirectory, index)
    if (its !== value || index !== leader.stat.lastIndex)
      problems.push(`${member.name} holds ${its} at index ${index}, the leader ${value} at ${leader.stat.lastIndex}`)
  }
  const judgement = load.history.judge(value)
  counts.acked += judgement.acknowledged
  counts.unknown += judgement.unknown
  counts.failed += judgement.failed
  counts.lost += judgement.lost
  counts.doubled += judgement.doubled
  problems.push(...judgement.problems)
  scene.note(
    `the counter ends at ${value}; ${judgement.found} of ${judgement.unknown} increments of unknown outcome are in it, ${compared} entries are alike on ${held.length} members`,
  )
}
