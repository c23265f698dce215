import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '../../process/node-cluster.js'
import { CliHome } from '../../support/run-cli.js'
import type { GroupMember } from '../group-member.js'
import type { InteropGroup } from '../interop-group.js'
import { check, type Scenario, type Scene, withGroup } from '../scenario.js'

const CLI_TIMEOUT_MS = 60_000

/** What braft's own administrator does, done by raftctl on members of braft alone, which run unchanged. */
export const raftctlAdminScenario: Scenario = {
  name: 'raftctl-admin',
  about: 'raftctl looks at a braft cluster and performs all six commands of braft_cli on it, to the loss of its majority',
  needs: ['counter_server'],
  floors: () => ({ checks: 28 }),
  run: (scene) => withGroup(scene, ['braft', 'braft', 'braft'], (group) => administer(scene, group)),
}

async function administer(scene: Scene, group: InteropGroup): Promise<void> {
  const [n1, n2, n3] = [group.members[0]!, group.members[1]!, group.members[2]!]
  const n4 = await group.newMember('braft')
  const founders = [n1.peerId, n2.peerId, n3.peerId]
  const home = new CliHome()
  const run = async (what: string, ...args: string[]) => {
    const { exitCode, stdout, stderr } = await home.run([...args, '--json'], { timeoutMs: CLI_TIMEOUT_MS })
    check(scene, `${what}: raftctl ${args.join(' ')}`, exitCode === 0, `${exitCode}: ${stderr}${stdout}`)
    return stdout
  }
  const are = async (...wanted: string[]) => {
    const { stat } = await group.level()
    const found = [...stat.peers].sort().join(' ')
    check(scene, `the members are ${wanted.join(' ')}`, found === [...wanted].sort().join(' '), found)
  }
  try {
    const endpoints = [n1, n2, n3].map(({ address }) => address).join(',')
    await run('a context is made for it', 'context', 'add', 'legacy', '-e', endpoints, '--group', group.options.group)
    const { member: leader } = await group.level()
    const status = await run('it is looked at', 'status')
    check(scene, 'status names the leader', new RegExp(`"leader(Id)?":\\s*"${leader.address}`).test(status), status)

    const target = leader === n2 ? n3 : n2
    await run('leadership is handed over', 'leader', 'transfer', target.address, '--yes')
    check(scene, 'the leader is who was named', (await group.leader()).member === target)

    const { appliedIndex } = await n1.stat()
    await run('a snapshot is taken', 'snapshot', 'create', '--node', n1.address)
    const { snapshotIndex } = await n1.stat()
    check(scene, 'the snapshot is there', snapshotIndex >= appliedIndex, `${snapshotIndex} < ${appliedIndex}`)

    await n4.join(founders)
    await run('a member is added', 'member', 'add', n4.address, '--yes')
    await are(...founders, n4.peerId)
    await run('it is removed', 'member', 'remove', n4.address, '--yes')
    await are(...founders)

    await n4.kill()
    n4.wipe()
    await n4.join(founders)
    const changed = [n2, n3, n4]
    const file = join(home.directory, 'members.yaml')
    writeFileSync(file, `members:\n${changed.map(({ name, address }) => `  ${name}: ${address}\n`).join('')}`)
    await run('the members are declared', 'member', 'apply', '-f', file, '--prune', '--yes')
    await are(...changed.map(({ peerId }) => peerId))
    await run('it is looked at', 'log', 'stats')
    await run('it is waited for', 'wait', 'healthy', '--for', '30s')

    const n5 = await group.newMember('braft')
    await n1.kill()
    n1.wipe()
    for (const fresh of [n1, n5]) {
      await fresh.join(founders)
      await run('a member is added', 'member', 'add', fresh.address, '--yes')
    }
    await loseMajority(scene, group, { run, home }, [n2, n3, n4], [n1, n5])
    await loseMajority(scene, group, { run, home }, [n5], [n1])
    await n2.kill()
    n2.wipe()
    await n2.join([n1.peerId])
    await run('a member is added to the one that was left', 'member', 'add', n2.address, '--yes', '-e', n1.address)
    await are(n1.peerId, n2.peerId)
  } finally {
    home.remove()
  }
}

interface Admin {
  readonly run: (what: string, ...args: string[]) => Promise<string>
  readonly home: CliHome
}

/** The majority dies for good: braft refuses everything, and the members are set by hand on those that are left. */
async function loseMajority(
  scene: Scene,
  group: InteropGroup,
  { run, home }: Admin,
  lost: GroupMember[],
  left: GroupMember[],
): Promise<void> {
  const { stat } = await group.level()
  for (let count = 0; count < 10; count++) await group.calls.fetchAdd(stat.peerId, 7)
  await group.level()
  const value = await group.calls.value(stat.peerId)
  await Promise.all(lost.map((member) => member.kill()))
  const endpoints = left.map(({ address }) => address).join(',')
  const names = lost.map(({ address }) => address).join(',')
  const recovery = [
    'recover',
    'apply',
    '--lost',
    names,
    '-e',
    endpoints,
    '--group',
    group.options.group,
    `--confirm=${group.options.group}`,
  ]
  await eventually('those that are left to notice', async () =>
    (await group.standings()).every((one) => one.stat.leader === null && one.stat.state !== 'LEADER'),
  )
  const status = await home.run(['status', '-e', endpoints, '--group', group.options.group])
  check(scene, 'without a majority status ends with 4', status.exitCode === 4, `${status.exitCode}: ${status.stderr}`)
  if (lost.length > 1) {
    const half = await home.run([...recovery.slice(0, 3), lost[0]!.address, ...recovery.slice(4)])
    check(scene, 'lost members that are not named stand in the way', half.exitCode === 6, `${half.exitCode}: ${half.stderr}`)
  }
  await run('the members are set by hand', ...recovery)
  const leader = await group.level()
  const found = [...leader.stat.peers].sort().join(' ')
  const wanted = left
    .map(({ peerId }) => peerId)
    .sort()
    .join(' ')
  check(scene, `the members are ${wanted}`, found === wanted, found)
  const after = await group.calls.value(leader.stat.peerId)
  check(scene, 'the counter is what it was', after === value, `${after}, and before ${value}`)
}
