import { setTimeout as pause } from 'node:timers/promises'
import { execa } from 'execa'
import type { GroupMember, Kind } from '../group-member.js'
import { ELECTION_TIMEOUT_MS, type InteropGroup } from '../interop-group.js'
import { stateOf } from '../machine-reads.js'
import { snapshotDigest } from '../member-logs.js'
import { wipe } from '../nemesis.js'
import { check, type Scenario, type Scene, withGroup } from '../scenario.js'

type Machine = 'counter' | 'atomic' | 'block'

const SECONDS = 10
const THREADS = 4

/** braft's own client of an example against raftctl members, unchanged, over a transfer and the death of a leader. */
function client(machine: Machine): Scenario {
  return {
    name: `client-${machine}`,
    about: `braft's ${machine} client works against raftctl members, over a transfer and a kill of the leader`,
    needs: [`${machine}_client`],
    floors: () => ({ checks: 6, compared: 1, kills: 1, transfers: 1 }),
    run: (scene) =>
      withGroup(
        scene,
        ['raftctl', 'raftctl', 'raftctl'],
        async (group) => {
          await serve(scene, group, machine, async () => {
            await pause(SECONDS * 1000)
            const first = await progress(group)
            const { member } = await group.leader()
            const heir = group.members.find((other) => other !== member)!
            await handOver(scene, group, heir)
            await pause(SECONDS * 1000)
            const second = await progress(group)
            check(scene, 'the client goes on behind the new leader', second > first, `${first} entries, then ${second}`)
            await heir.kill()
            scene.counts.kills += 1
            await pause(2 * ELECTION_TIMEOUT_MS)
            await heir.start()
            await pause(SECONDS * 1000)
            const third = await progress(group)
            check(
              scene,
              'the client goes on behind the successor of a leader that was killed',
              third > second,
              `${second} entries, then ${third}`,
            )
          })
          await sameState(scene, group, machine)
          await sameBytes(scene, group)
        },
        { machine, mixed: false },
      ),
  }
}

/** The machines of braft's examples on members of both kinds: each is caught up by a snapshot of the other, and all read alike. */
function mixed(machine: Machine): Scenario {
  return {
    name: `mixed-${machine}`,
    about: `${machine} on members of both kinds under braft's client, one of each kind wiped and caught up by the other`,
    needs: [`${machine}_server`, `${machine}_client`],
    floors: () => ({ checks: 3, compared: 1, transfers: 2, wipes: 2, wipesBraft: 1, snapshots: 2, snapshotsBraft: 1 }),
    run: (scene) =>
      withGroup(
        scene,
        ['braft', 'raftctl', 'braft'],
        async (group) => {
          const first = (kind: Kind) => group.members.find((member) => member.kind === kind)!
          await serve(scene, group, machine, async () => {
            for (const kind of ['raftctl', 'braft'] as const) {
              await handOver(scene, group, first(kind))
              await pause((SECONDS / 2) * 1000)
              await wipe(scene, group, first(kind === 'braft' ? 'raftctl' : 'braft'))
            }
            await pause((SECONDS / 2) * 1000)
          })
          await sameState(scene, group, machine)
        },
        { machine },
      ),
  }
}

/** Runs braft's client beside a story. */
async function serve(scene: Scene, group: InteropGroup, machine: Machine, story: () => Promise<void>): Promise<void> {
  const { stat } = await group.level()
  const flags = [`--conf=${stat.peers.join(',')}`, `--thread_num=${THREADS}`, '--timeout_ms=1000']
  const running = execa(scene.binaries.path(`${machine}_client`), flags, { all: true, reject: false })
  try {
    await story()
  } finally {
    running.kill('SIGINT')
  }
  const { all = '', exitCode } = await running
  check(scene, `${machine}_client ended well`, exitCode === 0, `${exitCode}: ${all.slice(-2000)}`)
  const rates = [...all.matchAll(/ at qps=(\d+) latency=(\d+)/g)].map(([, qps]) => Number(qps))
  scene.note(`answers a second: ${rates.join(' ')}`)
  check(scene, `${machine}_client was served`, rates.filter((rate) => rate > 0).length >= SECONDS, rates.join(' '))
}

async function handOver(scene: Scene, group: InteropGroup, heir: GroupMember): Promise<void> {
  if ((await group.leader()).member === heir) await group.makeLeader(group.members.find((member) => member !== heir)!)
  await group.makeLeader(heir)
  scene.counts.transfers += 1
  if (heir.kind === 'braft') scene.counts.transfersBraft += 1
}

/** Nobody writes any more: all logs are alike, and every member that leads shows clients the same. */
async function sameState(scene: Scene, group: InteropGroup, machine: Machine): Promise<void> {
  const { stat } = await group.level()
  const { compared, problems } = group.compareLogs(stat.peers)
  scene.counts.compared += compared
  scene.problems.push(...problems)
  const states: string[] = []
  for (const peer of stat.peers) {
    await group.makeLeader(group.member(peer))
    states.push(await stateOf(machine, peer, THREADS))
  }
  scene.note(`the state: ${states[0]}`)
  check(scene, 'every member that leads shows the same state', new Set(states).size === 1, states.join('\n'))
}

/** Members of one kind write the same bytes for the same state. */
async function sameBytes(scene: Scene, group: InteropGroup): Promise<void> {
  const { stat } = await group.level()
  const held = (await group.snapshots(stat.peers)).map(({ member, index }) => snapshotDigest(member.groupDirectory, index))
  check(scene, 'the snapshots of all members are the same', new Set(held).size === 1, held.join(' '))
}

async function progress(group: InteropGroup): Promise<number> {
  return (await group.leader()).stat.committedIndex
}

const MACHINES = ['counter', 'atomic', 'block'] as const

export const clientScenarios: readonly Scenario[] = [...MACHINES.map(client), ...MACHINES.map(mixed)]
