// The processes of one side of a comparison, each with its log in a file of the run's directory.
import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'

/** A directory on the disk that is measured; gone when the run ends, however it ends. */
export function workDirectory(parent) {
  const directory = mkdtempSync(join(resolve(parent), 'raftctl-bench-'))
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

/** A process that is expected to live until it is ended; `fail` holds what it said when it did not. */
export class Member {
  constructor(name, command, args, directory) {
    this.logFile = join(directory, `${name}.log`)
    const log = openSync(this.logFile, 'a')
    this.child = spawn(command, args, { cwd: directory, stdio: ['ignore', log, log] })
    closeSync(log)
    running.add(this.child)
    this.ended = new Promise((done) => {
      const over = (how) => {
        running.delete(this.child)
        if (!this.ending) this.problem = `${name} ended by itself (${how}):\n${readFileSync(this.logFile, 'utf8').slice(-2000)}`
        done()
      }
      this.child.once('exit', (code, signal) => over(code ?? signal))
      this.child.once('error', (error) => over(error.message))
    })
  }

  async end(signal = 'SIGTERM') {
    this.ending = true
    this.child.kill(signal)
    await this.ended
  }

  /** Of processor time, in milliseconds; null where the system does not say. */
  get cpuMs() {
    return processCpuMs(this.child.pid)
  }
}

/** Bytes that one of our members holds, by its own metrics: resident, in the heap, and behind it (buffers). */
export async function memoryOf(address) {
  const text = await (await fetch(`http://${address}/metrics`)).text()
  const gauge = (name) => Number(new RegExp(`^raftctl_${name} (\\S+)$`, 'm').exec(text)[1])
  return {
    resident: gauge('process_resident_memory_bytes'),
    heap: gauge('nodejs_heap_size_used_bytes'),
    external: gauge('nodejs_external_memory_bytes'),
  }
}

/** Milliseconds of processor time that a process took so far; null where the system does not say. */
export function processCpuMs(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return null
  }
}

/** Ports that were free a moment ago. */
export async function freePorts(count) {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise((done, fail) => {
          const server = createServer().once('error', fail)
          server.listen(0, '127.0.0.1', () => done(server))
        }),
    ),
  )
  const ports = servers.map((server) => server.address().port)
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
  return ports
}

/** Asks again every so often until it answers something that is not null; fails after a while, or when a member has ended. */
export async function until(what, members, ask, withinMs = 60_000) {
  const deadline = Date.now() + withinMs
  for (;;) {
    const problem = members.find((member) => member.problem)?.problem
    if (problem) throw new Error(problem)
    const answer = await ask().catch(() => null)
    if (answer !== null) return answer
    if (Date.now() > deadline) throw new Error(`${what}: not within ${withinMs / 1000} s`)
    await new Promise((done) => setTimeout(done, 50))
  }
}
