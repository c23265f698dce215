import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CliHome } from '../../support/run-cli.js'
import type { InteropGroup } from '../interop-group.js'
import { check, type Scenario, type Scene, withGroup } from '../scenario.js'

const CLI_TIMEOUT_MS = 60_000

/** What braft's own administrator does, done by raftctl on members of braft alone, which run unchanged. */
export const raftctlAdminScenario: Scenario = {
  name: 'raftctl-admin',
  about: 'raftctl looks at and changes a braft cluster as braft_cli does',
  needs: ['counter_server'],
  floors: () => ({ checks: 13 }),
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
  } finally {
    home.remove()
  }
}
