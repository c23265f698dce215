import type { SimRandom } from '../../src/testing/sim-random.js'
import type { BraftBinaries, BraftBinary } from './binaries.js'
import type { Kind } from './group-member.js'
import type { Floors, InteropCounts } from './interop-counts.js'
import { type GroupOptions, InteropGroup } from './interop-group.js'

/** What a scenario has at hand, and where it says what it found. */
export interface Scene {
  readonly minutes: number
  readonly random: SimRandom
  readonly counts: InteropCounts
  readonly binaries: BraftBinaries
  /** The IPv4 address where braft puts itself. */
  readonly host: string
  /** Where members keep their directories and logs. */
  readonly home: string
  /** What is wrong; a scenario without any has passed. */
  readonly problems: string[]
  note(text: string): void
}

export interface Scenario {
  readonly name: string
  readonly about: string
  readonly needs: readonly BraftBinary[]
  floors(minutes: number): Floors
  run(scene: Scene): Promise<void>
}

/** Founds a group, hands it over, and ends its processes whatever happens. */
export async function withGroup(
  scene: Scene,
  kinds: readonly Kind[],
  story: (group: InteropGroup) => Promise<void>,
  { machine = 'counter', mixed = true, checksum = 'crc32c' }: Partial<Pick<GroupOptions, 'machine' | 'mixed' | 'checksum'>> = {},
): Promise<void> {
  const { home, host, binaries } = scene
  const options: GroupOptions = { home, host, binaries, machine, group: GROUPS[machine], mixed, checksum }
  const group = await InteropGroup.found(kinds, options)
  try {
    await story(group)
    if (group.problem) scene.problems.push(group.problem)
  } finally {
    await group.close()
  }
}

/** What braft's examples call their groups, and we ours. */
const GROUPS = { counter: 'Counter', atomic: 'Atomic', block: 'Block', kv: 'kv' } as const

/** Counts a check that holds, or tells what does not. */
export function check(scene: Scene, what: string, holds: boolean, found?: string): void {
  if (holds) {
    scene.counts.checks += 1
    scene.note(`as it should be: ${what}`)
  } else scene.problems.push(found === undefined ? `not so: ${what}` : `not so: ${what}; found ${found}`)
}
