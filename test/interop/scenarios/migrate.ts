import { eventually } from '../../process/node-cluster.js'
import { CliHome } from '../../support/run-cli.js'
import { settle, underLoad } from '../counter-load.js'
import type { GroupMember, Kind } from '../group-member.js'
import type { InteropGroup } from '../interop-group.js'
import { failedWhileLed, leadershipMoves } from '../leadership-moves.js'
import { check, type Scenario, type Scene, withGroup } from '../scenario.js'

const CLIENTS = 4
/** Enough to notice a moment without a leader, and leaves the machine to the members. */
const PAUSE_MS = 5
const PATIENCE_MS = 60_000

/** How a member of one kind makes room for one of the other. */
type Step = (scene: Scene, group: InteropGroup, old: GroupMember, kind: Kind) => Promise<void>

/** Stopped, looked at, and started as the other kind on the same directory. */
const inPlace: Step = async (scene, group, member, kind) => {
  await member.stop()
  await raftctl(scene, 'data', 'verify', member.dataDir)
  member.become(kind)
  await member.start()
  await group.caughtUp(member)
}

/** A new member on an empty directory is added, the old one removed. */
const byReplacement: Step = async (_scene, group, old, kind) => {
  const { stat } = await group.leader()
  const fresh = await group.newMember(kind)
  await fresh.join(stat.peers)
  await group.add(fresh)
  await group.caughtUp(fresh)
  await group.remove(old)
  await old.stop()
}

function migration(name: string, about: string, step: Step): Scenario {
  return {
    name,
    about: `a braft cluster becomes a raftctl cluster and a braft cluster again under load, ${about}`,
    needs: ['counter_server'],
    floors: () => ({ acked: 500, checks: 25, compared: 1, transfers: 2 }),
    run: (scene) =>
      withGroup(scene, ['braft', 'braft', 'braft'], async (group) => {
        const { stat: before } = await group.leader()
        const load = await underLoad(scene, group, { clients: CLIENTS, pauseMs: PAUSE_MS }, async () => {
          await migrate(scene, group, 'raftctl', step)
          await restartAll(scene, group, false)
          await restartAll(scene, group, true)
          await migrate(scene, group, 'braft', step)
        })
        await settle(scene, group, load)
        const { stat: after } = await group.leader()
        scene.counts.elections += after.term - before.term
        const { all } = load.history
        const failed = failedWhileLed(all)
        scene.note(`leadership moved ${leadershipMoves(all).length - 1} times`)
        const told = failed.slice(0, 5).map(({ reason, invokedAt }) => `${invokedAt.toFixed(0)} ms: ${reason}`)
        check(scene, 'no increment failed but while leadership moved', failed.length === 0, `${failed.length}: ${told.join('; ')}`)
      }),
  }
}

/** One member after the other; who leads hands over first, and goes last. */
async function migrate(scene: Scene, group: InteropGroup, kind: Kind, step: Step): Promise<void> {
  for (;;) {
    const { member: leader, stat } = await group.leader()
    const left = stat.peers.map((peer) => group.member(peer)).filter((member) => member.kind !== kind)
    const next = left.find((member) => member !== leader) ?? left[0]
    if (!next) return
    if (next === leader) await handOver(scene, group, leader)
    scene.note(`${next.name} (${next.kind}) makes room for ${kind}`)
    await step(scene, group, next, kind)
    await sound(scene, group, next)
    check(scene, `${left.length - 1} members are left to become ${kind}`, true)
  }
}

/** Every member is restarted with or without --mixed, who leads last. */
async function restartAll(scene: Scene, group: InteropGroup, mixed: boolean): Promise<void> {
  const { stat } = await group.leader()
  const members = stat.peers.map((peer) => group.member(peer))
  for (const member of [...members.filter(({ peerId }) => peerId !== stat.peerId), group.member(stat.peerId)]) {
    if ((await group.leader()).member === member) await handOver(scene, group, member)
    await member.stop()
    member.takeBraft(mixed)
    await member.start()
    await group.caughtUp(member)
    await sound(scene, group, member)
    scene.note(`${member.name} was restarted ${mixed ? 'with' : 'without'} --mixed`)
  }
}

/** What an operator looks at before the next step: the member is level, and the group is healthy. */
async function sound(scene: Scene, group: InteropGroup, member: GroupMember): Promise<void> {
  const { stat } = await group.leader()
  await eventually('all members to follow', async () => (await followAll(group, stat.committedIndex)) || null, PATIENCE_MS)
  const on = ['-e', stat.peers.map((peer) => group.member(peer).address).join(','), '--group', group.options.group]
  await raftctl(scene, 'wait', `member=${member.address}:caught-up`, ...on)
  await raftctl(scene, 'wait', 'healthy', ...on)
}

async function raftctl(scene: Scene, ...args: string[]): Promise<void> {
  const home = new CliHome()
  try {
    const { exitCode, stdout, stderr } = await home.run(args, { timeoutMs: PATIENCE_MS })
    check(scene, `raftctl ${args.slice(0, 2).join(' ')}`, exitCode === 0, `${exitCode}: ${stderr}${stdout}`)
  } finally {
    home.remove()
  }
}

async function handOver(scene: Scene, group: InteropGroup, leader: GroupMember): Promise<void> {
  const { stat } = await group.leader()
  const heir = group.member(stat.peers.find((peer) => peer !== leader.peerId)!)
  await group.makeLeader(heir)
  scene.counts.transfers += 1
  if (heir.kind === 'braft') scene.counts.transfersBraft += 1
}

/** Every member of the configuration has applied what was committed a moment ago. */
async function followAll(group: InteropGroup, committed: number): Promise<boolean> {
  const leader = await group.currentLeader()
  if (!leader) return false
  const standings = await group.standings()
  return leader.stat.peers.every((peer) => standings.some(({ stat }) => stat.peerId === peer && stat.appliedIndex >= committed))
}

export const migrationScenarios: readonly Scenario[] = [
  migration('migrate-in-place', 'each on the directory of the other', inPlace),
  migration('migrate-by-replacement', 'by members added and removed', byReplacement),
]
