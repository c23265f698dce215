import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { execa } from 'execa'
import type { Kind } from '../group-member.js'
import type { InteropGroup } from '../interop-group.js'
import { stateOf } from '../machine-reads.js'
import { check, type Scenario, type Scene, withGroup } from '../scenario.js'

type Machine = 'counter' | 'atomic' | 'block'

const SECONDS = 4
const THREADS = 4
/** Layout of an entry's header in a segment. */
const HEADER_BYTES = 24
const TYPE_OF_CHECKSUM_AT = 9
const LENGTH_AT = 12

/**
 * A whole cluster changes its kind on its directories, and back: nothing is replicated, so each member has the other's files alone.
 * Ours writes its entries with the checksum that a braft without a CRC instruction writes.
 */
function directories(machine: Machine): Scenario {
  return {
    name: `directories-${machine}`,
    about: `${machine}: members of braft are stopped, go on as raftctl on their directories with murmur32, and as braft again`,
    needs: [`${machine}_server`, `${machine}_client`],
    floors: () => ({ checks: 12, compared: 3 }),
    run: (scene) =>
      withGroup(scene, ['braft', 'braft', 'braft'], (group) => thereAndBack(scene, group, machine), {
        ...{ machine, mixed: false, checksum: 'murmur32' },
      }),
  }
}

async function thereAndBack(scene: Scene, group: InteropGroup, machine: Machine): Promise<void> {
  await write(scene, group, machine)
  let state = await stateNow(group, machine)
  for (const kind of ['raftctl', 'braft', 'raftctl'] as const) {
    await become(scene, group, kind)
    const seen = await stateNow(group, machine)
    check(scene, `as ${kind} the group shows what it showed before`, seen === state, `${seen}, and before ${state}`)
    await write(scene, group, machine)
    const { stat } = await group.level()
    const { compared, problems } = group.compareLogs(stat.peers)
    scene.counts.compared += compared
    scene.problems.push(...problems)
    const written = group.members.map(({ groupDirectory }) => checksumsIn(join(groupDirectory, 'log')))
    scene.note(`entries by their checksum: ${written.map(({ murmur32, crc32c }) => `${murmur32} murmur32, ${crc32c} CRC-32C`).join('; ')}`)
    if (kind === 'raftctl')
      check(
        scene,
        'ours wrote murmur32',
        written.every(({ murmur32 }) => murmur32 > 0),
      )
    // From here on one member begins at a snapshot of this kind, and the others apply the log.
    const snapshotted = machine === 'block' ? stat.peers : stat.peers.slice(0, 1)
    await group.snapshots(snapshotted)
    state = await stateNow(group, machine)
  }
}

async function become(scene: Scene, group: InteropGroup, kind: Kind): Promise<void> {
  await Promise.all(group.members.map((member) => member.stop()))
  for (const member of group.members) member.become(kind)
  await Promise.all(group.members.map((member) => member.start()))
  await group.level()
  check(scene, `all members run as ${kind} on their directories`, true)
}

/** Braft's own client writes for a while. */
async function write(scene: Scene, group: InteropGroup, machine: Machine): Promise<void> {
  const { stat } = await group.level()
  const flags = [`--conf=${stat.peers.join(',')}`, `--thread_num=${THREADS}`, '--timeout_ms=1000']
  const client = execa(scene.binaries.path(`${machine}_client`), flags, { all: true, reject: false })
  await pause(SECONDS * 1000)
  client.kill('SIGINT')
  const { all = '', exitCode } = await client
  const { stat: after } = await group.level()
  const written = after.lastIndex - stat.lastIndex
  check(scene, `${machine}_client wrote`, exitCode === 0 && written > 0, `${exitCode}, ${written} entries: ${all.slice(-2000)}`)
}

async function stateNow(group: InteropGroup, machine: Machine): Promise<string> {
  const { member } = await group.level()
  return await stateOf(machine, member.peerId, THREADS)
}

function checksumsIn(log: string): { readonly murmur32: number; readonly crc32c: number } {
  const counts = [0, 0]
  for (const name of readdirSync(log).filter((one) => /^log_(inprogress_)?\d/.test(one))) {
    const bytes = readFileSync(join(log, name))
    for (let at = 0; at + HEADER_BYTES <= bytes.length; at += HEADER_BYTES + bytes.readUInt32BE(at + LENGTH_AT))
      counts[bytes[at + TYPE_OF_CHECKSUM_AT]!] = (counts[bytes[at + TYPE_OF_CHECKSUM_AT]!] ?? 0) + 1
  }
  return { murmur32: counts[0]!, crc32c: counts[1]! }
}

export const directoryScenarios: readonly Scenario[] = (['counter', 'atomic', 'block'] as const).map(directories)
