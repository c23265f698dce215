import { setTimeout as pause } from 'node:timers/promises'
import { eventually } from '../process/node-cluster.js'
import { settle, underLoad } from './counter-load.js'
import type { GroupMember, Kind } from './group-member.js'
import type { InteropGroup } from './interop-group.js'
import type { Scene } from './scenario.js'

type Deed = 'kill the leader' | 'snapshot' | `kill ${Kind}` | `transfer to ${Kind}` | `wipe ${Kind}`

const DOWN_MS_MAX = 1500
const REST_MS_MAX = 1500
/** The file of a block is large, and a busy disk slow. */
const SNAPSHOT_PATIENCE_MS = 180_000

/** Torments a group of both kinds, one deed after the other, each deed several times before all were done once more. */
export class Nemesis {
  private deck: Deed[] = []

  constructor(
    private readonly scene: Scene,
    private readonly group: InteropGroup,
  ) {}

  async run(untilMs: number): Promise<void> {
    const { random } = this.scene
    const kinds = new Set(this.group.members.map(({ kind }) => kind))
    const deeds = DEEDS.filter((deed) => kinds.has(kindIn(deed)) || !deed.includes('raft'))
    while (performance.now() < untilMs) {
      if (this.deck.length === 0) this.deck = random.shuffle(deeds)
      await this.commit(this.deck.pop()!)
      await pause(random.between(0, REST_MS_MAX))
    }
  }

  private async commit(deed: Deed): Promise<void> {
    const { group } = this
    if (deed === 'kill the leader') await this.kill((await group.leader()).member)
    else if (deed === 'snapshot') await this.snapshot()
    else if (deed.startsWith('kill ')) await this.kill(this.anyOf(kindIn(deed)))
    else if (deed.startsWith('transfer ')) await this.transfer(this.anyOf(kindIn(deed)))
    else await wipe(this.scene, group, this.anyOf(kindIn(deed)))
  }

  private async kill(victim: GroupMember): Promise<void> {
    const { counts, random } = this.scene
    this.scene.note(`kill -9 of ${victim.name} (${victim.kind})`)
    await victim.kill()
    counts.kills += 1
    if (victim.kind === 'braft') counts.killsBraft += 1
    await pause(random.between(0, DOWN_MS_MAX))
    await victim.start()
  }

  private async transfer(target: GroupMember): Promise<void> {
    const { counts } = this.scene
    const { member } = await this.group.leader()
    if (member === target) return
    const reached = await this.group.transferTo(target)
    this.scene.note(`transfer from ${member.name} (${member.kind}) to ${target.name} (${target.kind}): ${reached ? 'done' : 'not reached'}`)
    if (!reached) return
    counts.transfers += 1
    if (target.kind === 'braft') counts.transfersBraft += 1
  }

  private async snapshot(): Promise<void> {
    const { random, note } = this.scene
    const member = random.pick(this.group.running)
    await this.group.calls.snapshot(member.peerId).then(
      () => note(`${member.name} took a snapshot`),
      (error) => note(`${member.name} took no snapshot: ${error.message}`),
    )
  }

  private anyOf(kind: Kind): GroupMember {
    return this.scene.random.pick(this.group.members.filter((member) => member.kind === kind))
  }
}

/**
 * A member loses its directory. braft knows no rebuilding: it must be no member when it comes back empty. Behind a log that was
 * cut, only a snapshot of the leader gets it there: one of the other kind, where there is one.
 */
export async function wipe(scene: Scene, group: InteropGroup, victim: GroupMember): Promise<void> {
  const { counts, note, random } = scene
  const others = group.members.filter((member) => member !== victim)
  const strangers = others.filter(({ kind }) => kind !== victim.kind)
  await group.makeLeader(random.pick(strangers.length > 0 ? strangers : others))
  await group.remove(victim)
  await victim.kill()
  victim.wipe()
  const { stat } = await group.leader()
  await cutLog(group, stat.peerId)
  await victim.join(stat.peers)
  const { member: source } = await group.add(victim)
  await group.caughtUp(victim)
  counts.wipes += 1
  if (victim.kind === 'braft') counts.wipesBraft += 1
  const installed = victim.snapshots().at(-1)
  note(
    `${victim.name} (${victim.kind}) lost its directory; ${source.name} (${source.kind}) brought it back, snapshot ${installed ?? 'none'}`,
  )
  if (installed === undefined || source.kind === victim.kind) return
  counts.snapshots += 1
  if (victim.kind === 'braft') counts.snapshotsBraft += 1
}

/** What a log keeps reaches back to the snapshot before the newest: two of them, and the beginning is gone. */
export async function cutLog(group: InteropGroup, leader: string): Promise<void> {
  const member = group.member(leader)
  await eventually(
    `${member.name} to cut its log`,
    async () => {
      const { firstIndex, appliedIndex, snapshotIndex } = await member.stat()
      if (firstIndex > 1) return true
      if (appliedIndex > snapshotIndex) await group.calls.snapshot(leader)
      return null
    },
    SNAPSHOT_PATIENCE_MS,
  )
}

const DEEDS: readonly Deed[] = [
  ...(['kill the leader', 'kill the leader', 'kill braft', 'kill raftctl'] as const),
  ...(['transfer to braft', 'transfer to raftctl', 'transfer to braft', 'transfer to raftctl'] as const),
  ...(['snapshot', 'wipe braft', 'snapshot', 'wipe raftctl'] as const),
]

function kindIn(deed: Deed): Kind {
  return deed.endsWith('braft') ? 'braft' : 'raftctl'
}

/** A group under load and torment for the minutes of the run. */
export async function torment(scene: Scene, group: InteropGroup, clients: number): Promise<void> {
  const { stat: before } = await group.leader()
  const load = await underLoad(scene, group, { clients }, () => new Nemesis(scene, group).run(performance.now() + scene.minutes * 60_000))
  await settle(scene, group, load)
  const { stat: after } = await group.leader()
  scene.counts.elections += after.term - before.term
}
