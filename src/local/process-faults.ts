import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { ProcessFault } from '../admin/chaos/fault.js'
import type { Processes } from '../admin/chaos/run.js'
import { CliError } from '../terminal/errors.js'
import { stopNode } from './cluster-control.js'
import { addressOfNode } from './local-address.js'
import { hasLostData } from './lost-data.js'
import { spawnNode } from './node-spawn.js'
import { awaitExit, processStart, processState, signal } from './process-control.js'
import {
  clusterDirectory,
  findCluster,
  type LocalCluster,
  type LocalNode,
  readCluster,
  readNode,
  updateNodes,
  withClusterLock,
} from './state-file.js'

/** A killed or frozen node of a local cluster, and when it comes back. */
export interface ProcessFaultRecord {
  readonly id: string
  readonly kind: 'kill' | 'pause'
  readonly node: string
  /** Milliseconds since 1970. */
  readonly endsAt: number
  /** The process that heals it if nobody else does, and when that was started. */
  readonly guard: { readonly pid: number; readonly processStart: string } | null
}

const ENTRY = join(dirname(fileURLToPath(import.meta.url)), '../../../bin/run.js')
const EXIT_MS = 5000
const GRACE_MS = 5000
/** The guard comes this much after the time: whoever broke it heals it itself, if it can. */
const GUARD_LATE_MS = 1000

/**
 * Breaks processes of a local cluster. Each fault is written down and has a guard, a process of its own that heals it when its
 * time is over: whatever becomes of whoever broke it, no node stays frozen or down.
 */
export class LocalProcesses implements Processes {
  constructor(private readonly clusterName: string) {}

  async strike(id: string, fault: ProcessFault, forMs: number): Promise<void> {
    await withClusterLock(this.clusterName, async () => {
      const cluster = readCluster(this.clusterName)
      const node = readNode(cluster, fault.node)
      const state = await processState(node)
      if (state !== 'running')
        throw new CliError('E_NO_SUCH_NODE', `${node.name} of ${cluster.name} is ${state}: there is nothing to ${fault.kind}`, {
          hint: `Let it run first:  raftctl cluster ${state === 'paused' ? `resume ${node.name}` : 'start'} --name ${cluster.name}`,
        })
      const record = {
        id,
        kind: fault.kind,
        node: node.name,
        endsAt: Date.now() + forMs,
        guard: await guard(cluster, id, forMs + GUARD_LATE_MS),
      }
      writeRecords(cluster, [...readRecords(cluster), record])
      signal(node.pid!, fault.kind === 'kill' ? 'SIGKILL' : 'SIGSTOP')
      if (fault.kind !== 'kill') return
      await awaitExit(node, EXIT_MS)
      updateNodes(readCluster(cluster.name), (one) => (one.name === node.name ? { ...one, pid: null, processStart: null } : one))
    })
  }

  /** Safe to call often, and when nothing is left to heal. */
  async heal(id: string): Promise<void> {
    await withClusterLock(this.clusterName, async () => {
      const cluster = findCluster(this.clusterName)
      if (cluster) await this.healRecorded(cluster, id)
    })
  }

  async restart(address: string): Promise<boolean> {
    return withClusterLock(this.clusterName, async () => {
      const cluster = readCluster(this.clusterName)
      const node = cluster.nodes.find((one) => addressOfNode(one) === address)
      if (!node) return false
      await stopNode(node, GRACE_MS)
      await start(cluster, node)
      return true
    })
  }

  private async healRecorded(cluster: LocalCluster, id: string): Promise<void> {
    const records = readRecords(cluster)
    const record = records.find((one) => one.id === id)
    if (!record) return
    const node = cluster.nodes.find((one) => one.name === record.node)
    if (node) await mend(cluster, node, record)
    await dismiss(record)
    writeRecords(
      cluster,
      records.filter((one) => one !== record),
    )
  }
}

/** What is broken of the processes of a cluster. */
export function processFaults(cluster: LocalCluster): ProcessFaultRecord[] {
  return readRecords(cluster)
}

/** Waits, then heals a fault that is still there. The guard's whole life. */
export async function guardFault(clusterName: string, id: string, afterMs: number): Promise<void> {
  await pause(afterMs)
  if (findCluster(clusterName)) await new LocalProcesses(clusterName).heal(id)
}

async function mend(cluster: LocalCluster, node: LocalNode, { kind }: ProcessFaultRecord): Promise<void> {
  const state = await processState(node)
  if (kind === 'pause') {
    if (state === 'paused') signal(node.pid!, 'SIGCONT')
    return
  }
  if (state === 'running' || state === 'paused') return
  const states = await Promise.all(cluster.nodes.map(processState))
  // Somebody stopped the cluster meanwhile: it stays so.
  if (states.every((one) => one === 'stopped' || one === 'stale') && cluster.nodes.length > 1) return
  await start(cluster, node)
}

async function start(cluster: LocalCluster, node: LocalNode): Promise<void> {
  const started = await spawnNode(cluster, node, { rebuild: hasLostData(node) })
  updateNodes(readCluster(cluster.name), (one) => (one.name === node.name ? started.node : one))
}

async function guard(cluster: LocalCluster, id: string, afterMs: number): Promise<ProcessFaultRecord['guard']> {
  const argv = [ENTRY, 'chaos', 'heal', '--context', cluster.name, '--guard', id, '--after', `${Math.ceil(afterMs)}ms`, '--quiet']
  const child = spawn(process.execPath, argv, { detached: true, stdio: 'ignore', env: process.env })
  child.unref()
  const start = child.pid === undefined ? null : await processStart(child.pid)
  return start === null ? null : { pid: child.pid!, processStart: start }
}

/** Nothing is left for it to do. */
async function dismiss({ guard: one }: ProcessFaultRecord): Promise<void> {
  if (one === null || one.pid === process.pid || (await processStart(one.pid)) !== one.processStart) return
  signal(one.pid, 'SIGKILL')
}

function recordFile(name: string): string {
  return join(clusterDirectory(name), 'chaos.json')
}

function readRecords(cluster: LocalCluster): ProcessFaultRecord[] {
  const file = recordFile(cluster.name)
  if (!existsSync(file)) return []
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessFaultRecord[]
  } catch {
    // Half a file is no fault: what is frozen or down shows in the state of its process.
    return []
  }
}

function writeRecords(cluster: LocalCluster, records: readonly ProcessFaultRecord[]): void {
  const file = recordFile(cluster.name)
  if (records.length === 0) return rmSync(file, { force: true })
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.tmp`, `${JSON.stringify(records, null, 2)}\n`, { mode: 0o600 })
  renameSync(`${file}.tmp`, file)
}
