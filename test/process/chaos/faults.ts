import { setTimeout as pause } from 'node:timers/promises'
import type { SimRandom } from '../../../src/testing/sim-random.js'
import { eventually } from '../node-cluster.js'
import type { ChaosCluster, ChaosNode } from './chaos-cluster.js'
import type { ChaosCounts } from './counts.js'

/** What a fault needs to happen. */
export interface Scene {
  readonly cluster: ChaosCluster
  readonly random: SimRandom
  readonly counts: ChaosCounts
  /** A line of the diary. */
  note(text: string): void
}

/** It happens, lasts and is over; answers false when it could not happen now. */
export type Fault = (scene: Scene) => Promise<boolean>

const REBUILD_PATIENCE_MS = 60_000

/** Of processes and disks; one at a time. */
export const PROCESS_FAULTS: Readonly<Record<string, Fault>> = {
  kill: async (scene) => await killed(scene, [anyNode(scene)], 200, 2000),
  killLeader: async (scene) => await killed(scene, [await leaderOr(scene)], 200, 2000),
  killAll: async (scene) => await killed(scene, scene.cluster.nodes, 100, 500),

  restart: async (scene) => {
    const node = anyNode(scene)
    scene.note(`${node.name} is asked to stop`)
    await node.end('SIGTERM')
    await lasts(scene, 0, 1000)
    await node.start()
    scene.counts.restarts++
    return true
  },

  pause: async (scene) => await paused(scene, anyNode(scene)),
  pauseLeader: async (scene) => await paused(scene, await leaderOr(scene)),

  full: async (scene) => {
    const node = anyNode(scene)
    scene.note(`the disk of ${node.name} is full`)
    node.mayFail = true
    await fill(node)
    scene.counts.full++
    await lasts(scene, 500, 2000)
    await free(node)
    scene.note(`the disk of ${node.name} has space again: ${await node.recover()}`)
    return true
  },

  wipe: async (scene) => {
    const { cluster } = scene
    if (cluster.nodes.some(({ rebuilding }) => rebuilding)) return false
    const node = anyNode(scene)
    scene.note(`${node.name} loses its directory`)
    await node.end('SIGKILL')
    node.process.wipe()
    node.rebuilding = true
    scene.counts.wipes++
    await node.start()
    // Not waited for: other faults go on while it is rebuilt.
    void eventually(
      `${node.name} to be a member again`,
      async () => (await node.process.status()).standing === 'member',
      REBUILD_PATIENCE_MS,
    )
      .then(() => {
        node.rebuilding = false
        scene.note(`${node.name} is rebuilt`)
      })
      .catch(() => scene.note(`${node.name} is not rebuilt yet`))
    return true
  },
}

/** Of the ways between the nodes; one at a time, beside those of processes. */
export const NETWORK_FAULTS: Readonly<Record<string, Fault>> = {
  isolate: async (scene) => {
    const node = scene.random.chance(0.5) ? anyNode(scene) : await leaderOr(scene)
    return await split(scene, [node])
  },

  split: async (scene) => {
    const { nodes } = scene.cluster
    const start = scene.random.below(nodes.length)
    const turned = [...nodes.slice(start), ...nodes.slice(0, start)]
    return await split(scene, turned.slice(0, Math.floor(nodes.length / 2)))
  },

  oneWayOut: async (scene) => await oneWay(scene, 'out'),
  oneWayIn: async (scene) => await oneWay(scene, 'in'),

  slow: async (scene) => {
    const node = anyNode(scene)
    const ms = scene.random.integer(20, 400)
    scene.note(`everything to and from ${node.name} takes ${ms} ms`)
    scene.cluster.network.delay(node.process, ms, ms / 2)
    scene.counts.slow++
    await lasts(scene, 500, 3000)
    heal(scene)
    return true
  },

  reset: async (scene) => {
    const node = anyNode(scene)
    scene.note(`connections of ${node.name} are reset`)
    scene.cluster.network.reset(node.process)
    scene.counts.resets++
    return true
  },
}

/** What an administrator does meanwhile. */
export const DEEDS: Readonly<Record<string, Fault>> = {
  transfer: async (scene) => {
    const leader = await scene.cluster.leaderNow()
    if (!leader) return false
    const target = scene.random.pick(scene.cluster.nodes.filter((node) => node !== leader))
    const request = { group: 'kv', target: scene.random.chance(0.5) ? target.process.peerId : '', timeout_ms: 2000 }
    return await asked(
      scene,
      'transfers',
      `leadership from ${leader.name}`,
      leader.process.control.call('TransferLeader', request, { timeoutMs: 4000 }),
    )
  },

  snapshot: async (scene) => {
    const node = anyNode(scene)
    return await asked(
      scene,
      'snapshots',
      `a snapshot of ${node.name}`,
      node.process.control.call('TriggerSnapshot', { group: 'kv' }, { timeoutMs: 5000 }),
    )
  },
}

async function asked(scene: Scene, count: 'transfers' | 'snapshots', what: string, call: Promise<unknown>): Promise<boolean> {
  try {
    await call
    scene.note(what)
    scene.counts[count]++
    return true
  } catch (error) {
    scene.note(`${what}: ${(error as Error).message}`)
    return false
  }
}

async function killed(scene: Scene, nodes: readonly ChaosNode[], fromMs: number, toMs: number): Promise<boolean> {
  scene.note(`${nodes.map(({ name }) => name)} killed`)
  await Promise.all(nodes.map((node) => node.end('SIGKILL')))
  scene.counts.kills += nodes.length
  await lasts(scene, fromMs, toMs)
  await Promise.all(nodes.map((node) => node.start()))
  return true
}

async function paused(scene: Scene, node: ChaosNode): Promise<boolean> {
  scene.note(`${node.name} sleeps`)
  node.pause()
  scene.counts.pauses++
  await lasts(scene, 300, 3000)
  node.resume()
  scene.note(`${node.name} wakes`)
  return true
}

async function split(scene: Scene, side: readonly ChaosNode[]): Promise<boolean> {
  const { cluster } = scene
  const others = cluster.nodes.filter((node) => !side.includes(node))
  scene.note(`${side.map(({ name }) => name)} cut off`)
  cluster.network.cut(
    side.map(({ process }) => process),
    others.map(({ process }) => process),
  )
  scene.counts.cuts++
  await lasts(scene, 500, 3000)
  heal(scene)
  return true
}

async function oneWay(scene: Scene, which: 'in' | 'out'): Promise<boolean> {
  const { cluster, random } = scene
  const node = random.chance(0.5) ? anyNode(scene) : await leaderOr(scene)
  const others = cluster.nodes.filter((other) => other !== node && random.chance(0.7))
  scene.note(
    `${which === 'in' ? 'nothing reaches' : 'nothing leaves'} ${node.name} ${which === 'in' ? 'from' : 'to'} ${others.map(({ name }) => name)}`,
  )
  for (const other of others) {
    if (which === 'in') cluster.network.cutOneWay(other.process, node.process)
    else cluster.network.cutOneWay(node.process, other.process)
  }
  scene.counts.oneWay++
  await lasts(scene, 500, 3000)
  heal(scene)
  return true
}

function heal({ cluster, random, note }: Scene): void {
  const how = random.pick(['reset', 'resume'] as const)
  cluster.network.heal(how)
  note(`the network heals (${how})`)
}

/** Real where the disk is its own, else the node is told that it is. */
async function fill({ disk, process }: ChaosNode): Promise<void> {
  if (disk) disk.fill()
  else await process.faults({ add: [{ id: 'full', ttl_ms: 60_000, disk_full: { free_bytes: 0 } }] }).catch(() => {})
}

async function free({ disk, process }: ChaosNode): Promise<void> {
  if (disk) disk.free()
  else await process.faults({ remove: ['full'] }).catch(() => {})
}

function anyNode({ cluster, random }: Scene): ChaosNode {
  return random.pick(cluster.nodes)
}

/** The leader, or anybody where nobody leads. */
async function leaderOr(scene: Scene): Promise<ChaosNode> {
  return (await scene.cluster.leaderNow()) ?? anyNode(scene)
}

async function lasts({ random }: Scene, fromMs: number, toMs: number): Promise<void> {
  await pause(random.between(fromMs, toMs))
}
