import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { type ProcessStat, processStat } from '../storage/process-stat.js'
import type { LocalNode } from './state-file.js'

/** What the process of a node is doing. `stale`: the state file names a process that is gone. */
export type ProcessState = 'running' | 'paused' | 'stopped' | 'stale'

/** What tells a process from a later one with the same pid: when it started, as the system says; null when there is none. */
export async function processStart(pid: number): Promise<string | null> {
  if (process.platform === 'linux') return procStat(pid)?.start ?? null
  const { execa } = await import('execa')
  const { stdout, exitCode } = await execa('ps', ['-o', 'lstart=', '-p', String(pid)], { reject: false })
  return exitCode === 0 && stdout.trim() !== '' ? stdout.trim() : null
}

export async function processState(node: LocalNode): Promise<ProcessState> {
  if (node.pid === null) return 'stopped'
  if (!(await isThere(node))) return 'stale'
  return (await isPaused(node.pid)) ? 'paused' : 'running'
}

async function isThere(node: LocalNode): Promise<boolean> {
  const start = node.pid === null ? null : await processStart(node.pid)
  return start !== null && start === node.processStart
}

async function isPaused(pid: number): Promise<boolean> {
  if (process.platform === 'linux') return procStat(pid)?.state === 'T'
  const { execa } = await import('execa')
  const { stdout } = await execa('ps', ['-o', 'state=', '-p', String(pid)], { reject: false })
  return stdout.trim().startsWith('T')
}

/** With the start in ticks since boot, which repeat after the next boot, told apart by the boot. */
function procStat(pid: number): ProcessStat | null {
  const stat = processStat(pid)
  if (stat === null || stat === 'gone') return null
  return { ...stat, start: `${bootId()}:${stat.start}` }
}

let knownBootId: string | null = null

function bootId(): string {
  knownBootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8)
  return knownBootId
}

/** Sends a signal; false when the process is gone. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** Waits until the process of `node` is gone; false when it is still there after `timeoutMs`. */
export async function awaitExit(node: LocalNode, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  while (await isThere(node)) {
    if (performance.now() > deadline) return false
    await pause(10)
  }
  return true
}

/** Kills processes and waits for their end without the event loop: an interrupted process has no later. */
export function endNow(pids: readonly number[], timeoutMs = 1000): void {
  for (const pid of pids) signal(pid, 'SIGKILL')
  const deadline = performance.now() + timeoutMs
  const alive = (pid: number) => (process.platform === 'linux' ? procStat(pid) !== null : signal(pid, 0 as unknown as NodeJS.Signals))
  while (pids.some(alive) && performance.now() < deadline) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
}
