import { eventually } from '../../process/node-cluster.js'
import { type BraftCliCommand, type BraftCliFlags, braftCli } from '../braft-cli.js'
import type { InteropGroup } from '../interop-group.js'
import { check, type Scenario, type Scene, withGroup } from '../scenario.js'

/** All six commands of braft's administrator, and what it is told when they cannot be done, on raftctl members alone. */
export const braftCliScenario: Scenario = {
  name: 'braft-cli',
  about: 'braft_cli performs all its six commands on a raftctl cluster',
  needs: ['braft_cli'],
  floors: () => ({ checks: 13 }),
  run: (scene) => withGroup(scene, ['raftctl', 'raftctl', 'raftctl'], (group) => administer(scene, group), { machine: 'kv', mixed: false }),
}

async function administer(scene: Scene, group: InteropGroup): Promise<void> {
  const [n1, n2, n3] = [group.members[0]!, group.members[1]!, group.members[2]!]
  const n4 = await group.newMember('raftctl')
  const founders = [n1.peerId, n2.peerId, n3.peerId]
  const run = (command: BraftCliCommand, flags: Omit<BraftCliFlags, 'group'>, name = group.options.group) =>
    braftCli(scene.binaries, command, { group: name, ...flags })
  const done = async (command: BraftCliCommand, flags: Omit<BraftCliFlags, 'group'>) => {
    const { ok, output } = await run(command, flags)
    check(scene, `braft_cli ${command} ends with 0`, ok, output)
  }
  const peers = async () => (await group.level()).stat.peers
  const are = async (...wanted: string[]) => {
    const found = await peers()
    check(scene, `the members are ${wanted.join(' ')}`, [...found].sort().join() === [...wanted].sort().join(), found.join(' '))
  }

  const { member: leader } = await group.level()
  const target = leader === n2 ? n3 : n2
  await done('transfer_leader', { conf: founders, peer: target.peerId })
  await eventually(`${target.name} to lead`, async () => (await group.currentLeader())?.member === target)
  check(scene, 'the leader is who braft_cli named', (await group.leader()).member === target)

  const { appliedIndex } = await n1.stat()
  await done('snapshot', { peer: n1.peerId })
  const { snapshotIndex } = await n1.stat()
  check(scene, 'the snapshot is there', snapshotIndex >= appliedIndex, `${snapshotIndex} < ${appliedIndex}`)

  await n4.join(founders)
  await done('add_peer', { conf: founders, peer: n4.peerId })
  await are(...founders, n4.peerId)
  await done('remove_peer', { conf: [...founders, n4.peerId], peer: n4.peerId })
  await are(...founders)

  const others = await run('remove_peer', { conf: founders, peer: n1.peerId }, 'NoSuchGroup')
  check(scene, 'a group that does not exist fails', !others.ok && /remove_peer/.test(others.output), others.output)

  await n4.kill()
  n4.wipe()
  await n4.join(founders)
  const changed = [n2.peerId, n3.peerId, n4.peerId]
  await done('change_peers', { conf: founders, new_peers: changed })
  await are(...changed)
  await n1.kill()

  const survivor = n4
  await n2.kill()
  await n3.kill()
  await done('reset_peer', { peer: survivor.peerId, new_peers: [survivor.peerId] })
  await are(survivor.peerId)
}
