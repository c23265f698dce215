import { setTimeout as pause } from 'node:timers/promises'
import { execa } from 'execa'
import { ELECTION_TIMEOUT_MS, type InteropGroup } from '../interop-group.js'
import { snapshotDigest } from '../member-logs.js'
import { check, type Scenario, type Scene, withGroup } from '../scenario.js'

const SECONDS = 10
const THREADS = 4

/** braft's own client of an example against raftctl members, unchanged, over a transfer and the death of a leader. */
function client(machine: 'counter' | 'atomic' | 'block'): Scenario {
  return {
    name: `client-${machine}`,
    about: `braft's ${machine} client works against raftctl members, over a transfer and a kill of the leader`,
    needs: [`${machine}_client`],
    floors: () => ({ checks: 5, compared: 1, kills: 1, transfers: 1 }),
    run: (scene) => withGroup(scene, ['raftctl', 'raftctl', 'raftctl'], (group) => serve(scene, group, machine), { machine, mixed: false }),
  }
}

async function serve(scene: Scene, group: InteropGroup, machine: 'counter' | 'atomic' | 'block'): Promise<void> {
  const { stat } = await group.level()
  const flags = [`--conf=${stat.peers.join(',')}`, `--thread_num=${THREADS}`, '--timeout_ms=1000']
  const running = execa(scene.binaries.path(`${machine}_client`), flags, { all: true, reject: false })
  try {
    await pause(SECONDS * 1000)
    const first = await progress(group)
    const { member } = await group.leader()
    const heir = group.members.find((other) => other !== member)!
    await group.makeLeader(heir)
    scene.counts.transfers += 1
    await pause(SECONDS * 1000)
    const second = await progress(group)
    check(scene, 'the client goes on behind the new leader', second > first, `${first} entries, then ${second}`)
    await heir.kill()
    scene.counts.kills += 1
    await pause(2 * ELECTION_TIMEOUT_MS)
    await heir.start()
    await pause(SECONDS * 1000)
    const third = await progress(group)
    check(scene, 'the client goes on behind the successor of a leader that was killed', third > second, `${second} entries, then ${third}`)
  } finally {
    running.kill('SIGINT')
  }
  const { all = '', exitCode } = await running
  check(scene, `${machine}_client ended well`, exitCode === 0, `${exitCode}: ${all.slice(-2000)}`)
  const rates = [...all.matchAll(/ at qps=(\d+) latency=(\d+)/g)].map(([, qps]) => Number(qps))
  scene.note(`increments or exchanges a second: ${rates.join(' ')}`)
  check(scene, `${machine}_client was served`, rates.filter((rate) => rate > 0).length >= SECONDS, rates.join(' '))
  await sameState(scene, group)
}

/** Nobody writes any more: logs and snapshots of all members are alike. */
async function sameState(scene: Scene, group: InteropGroup): Promise<void> {
  const { stat } = await group.level()
  const { compared, problems } = group.compareLogs(stat.peers)
  scene.counts.compared += compared
  scene.problems.push(...problems)
  const held = (await group.snapshots(stat.peers)).map(({ member, index }) => snapshotDigest(member.groupDirectory, index))
  check(scene, 'all members hold the same state', new Set(held).size === 1, held.join(' '))
}

async function progress(group: InteropGroup): Promise<number> {
  return (await group.leader()).stat.committedIndex
}

export const clientScenarios: readonly Scenario[] = (['counter', 'atomic', 'block'] as const).map(client)
