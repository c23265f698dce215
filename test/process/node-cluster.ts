import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../../src/generated/raftctl.js'
import { KvClient } from '../../src/machines/kv/client.js'
import { Control } from '../../src/rpc/control-definition.js'
import { ServiceClient } from '../../src/rpc/grpc.js'

const ENTRY = fileURLToPath(new URL('../../../bin/run.js', import.meta.url))
const POLL_MS = 25
/** Far more than anything here takes: only a hang gets there. */
const PATIENCE_MS = 30_000

/** Looks again until `condition` answers something, and fails with what it was waiting for. */
export async function eventually<T>(
  what: string,
  condition: () => Promise<T | null | undefined | false>,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  const deadline = Date.now() + patienceMs
  let problem: unknown = null
  while (Date.now() < deadline) {
    const found = await condition().catch((error) => {
      problem = error
      return null
    })
    if (found) return found
    await pause(POLL_MS)
  }
  throw new Error(`gave up waiting for ${what}${problem ? ` (${problem})` : ''}`)
}

export function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () => net.createServer())
  return Promise.all(probes.map((probe) => new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve)))).then(async () => {
    const ports = probes.map((probe) => (probe.address() as net.AddressInfo).port)
    await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))))
    return ports
  })
}

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Everything it wrote; read when it is asked for. */
  readonly output: string
}

/** One `raftctl node start` process, and its directory, which outlives it. */
export class TestNode {
  private child: ChildProcess | null = null
  private ended: Promise<Ended> | null = null
  private channel: grpc.Client | null = null

  constructor(
    readonly name: string,
    readonly port: number,
    readonly home: string,
    private readonly args: readonly string[],
    /** Its log goes on from start to start. */
    private readonly keepsLog = false,
  ) {}

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  get peerId(): string {
    return `${this.address}:0:0`
  }

  get dataDir(): string {
    return join(this.home, this.name)
  }

  get pid(): number {
    return this.child!.pid!
  }

  get logFile(): string {
    return join(this.home, `${this.name}.log`)
  }

  /** What it has written to its log so far. */
  logLines(): string[] {
    return readFileSync(this.logFile, 'utf8').split('\n')
  }

  /** `more` are flags of this start only. */
  start(...more: readonly string[]): this {
    const log = openSync(this.logFile, this.keepsLog ? 'a' : 'w')
    const args = ['node', 'start', '--name', this.name, '--listen', this.address, '--data', this.dataDir, ...this.args, ...more]
    const child = spawn(process.execPath, [ENTRY, ...args], { stdio: ['ignore', log, log] })
    closeSync(log)
    this.child = child
    const { logFile } = this
    this.ended = new Promise((resolve) =>
      child.once('exit', (code, signal) =>
        resolve({
          code,
          signal,
          get output() {
            return readFileSync(logFile, 'utf8')
          },
        }),
      ),
    )
    return this
  }

  /** Settles when the process is gone. */
  exited(): Promise<Ended> {
    return this.ended!
  }

  async signal(signal: 'SIGKILL' | 'SIGTERM'): Promise<Ended> {
    this.child!.kill(signal)
    return await this.exited()
  }

  pause(): void {
    this.child!.kill('SIGSTOP')
  }

  resume(): void {
    this.child!.kill('SIGCONT')
  }

  wipe(): void {
    rmSync(this.dataDir, { recursive: true })
  }

  get control(): ServiceClient<typeof Control.methods> {
    this.channel ??= new grpc.Client(this.address, grpc.credentials.createInsecure(), {
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 200,
    })
    return new ServiceClient(Control, this.channel)
  }

  status(): Promise<raftctl.v1.NodeStatus> {
    return this.control.call('GetNodeStatus', { group: 'kv' }, { timeoutMs: 1000 })
  }

  /** Which cluster it takes itself for; '' where it does not know. */
  async clusterId(): Promise<string> {
    return (await this.control.call('Probe', {}, { timeoutMs: 1000 })).cluster_id
  }

  /** Asks this node alone. */
  client(timeoutMs = 5000): KvClient {
    return new KvClient({ endpoints: [this.address], timeoutMs, direct: true })
  }

  async faults(request: raftctl.v1.SetFaultsRequest.$Properties): Promise<void> {
    await this.control.call('SetFaults', request, { timeoutMs: 2000 })
  }

  /** Ends the process whatever state it is in. */
  async close(): Promise<void> {
    this.channel?.close()
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return
    this.child.kill('SIGKILL')
    await this.exited()
  }
}

/** Real processes that form one group, in a temporary directory. */
export class TestCluster {
  private constructor(
    readonly home: string,
    readonly nodes: readonly TestNode[],
  ) {}

  /** Starts `count` members and waits until one leads. */
  static async start(count: number, flags: readonly string[] = []): Promise<TestCluster> {
    const cluster = await TestCluster.prepare(count, flags)
    const deaths = cluster.nodes.map(async (node) => {
      const { code, output } = await node.start().exited()
      throw new Error(`${node.name} ended with ${code} before there was a leader: ${output}`)
    })
    try {
      await Promise.race([cluster.leader(), ...deaths])
    } catch (error) {
      await cluster.close()
      throw error
    }
    return cluster
  }

  static async prepare(count: number, flags: readonly string[] = []): Promise<TestCluster> {
    const home = mkdtempSync(join(tmpdir(), 'raftctl-process-'))
    const ports = await freePorts(count)
    const names = ports.map((_, at) => `n${at + 1}`)
    const peers = ports.map((port) => `127.0.0.1:${port}`).join(',')
    const args = ['--peers', peers, '--names', names.join(','), '--enable-faults', ...flags]
    return new TestCluster(
      home,
      names.map((name, at) => new TestNode(name, ports[at]!, home, args)),
    )
  }

  /** The node that itself says that it leads, in the newest term that anybody asked knows. */
  async leader(among: readonly TestNode[] = this.nodes): Promise<TestNode> {
    return await eventually('a leader', async () => {
      const statuses = await Promise.all(among.map((node) => node.status().catch(() => null)))
      const term = Math.max(...statuses.map((status) => (status ? Number(status.term) : 0)))
      const at = statuses.findIndex((status) => status?.state === 'LEADER' && Number(status.term) === term)
      return at < 0 ? null : among[at]
    })
  }

  others(node: TestNode): TestNode[] {
    return this.nodes.filter((other) => other !== node)
  }

  /** Asks any member. */
  client(timeoutMs = 5000): KvClient {
    return new KvClient({ endpoints: this.nodes.map((node) => node.address), timeoutMs, connectTimeoutMs: 1000 })
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()))
    rmSync(this.home, { recursive: true, force: true })
  }
}

/** Writers that put new keys until stopped, and remember what was acknowledged. */
export class Load {
  readonly acknowledged = new Map<string, string>()
  readonly failures: Error[] = []
  private running = true
  private readonly done: Promise<unknown>
  private readonly waiters: { readonly count: number; readonly wake: () => void }[] = []

  constructor(
    private readonly clients: readonly KvClient[],
    private readonly prefix: string,
  ) {
    this.done = Promise.all(clients.map((client, at) => this.write(client, at)))
  }

  /** Resolves once `count` more writes are acknowledged. */
  async more(count: number): Promise<void> {
    const wanted = this.acknowledged.size + count
    await new Promise<void>((wake) => this.waiters.push({ count: wanted, wake }))
  }

  async stop(): Promise<Map<string, string>> {
    this.running = false
    await this.done
    for (const client of this.clients) client.close()
    return this.acknowledged
  }

  private async write(client: KvClient, writer: number): Promise<void> {
    for (let i = 0; this.running; i++) {
      const key = `${this.prefix}/${writer}/${i}`
      const value = `value of ${key}`
      try {
        await client.put(Buffer.from(key), Buffer.from(value))
      } catch (error) {
        this.failures.push(error as Error)
        continue
      }
      this.acknowledged.set(key, value)
      for (const waiter of [...this.waiters]) {
        if (this.acknowledged.size < waiter.count) continue
        this.waiters.splice(this.waiters.indexOf(waiter), 1)
        waiter.wake()
      }
    }
  }
}

/** Keys of `expected` that do not read back as they were acknowledged. */
export async function missing(client: KvClient, prefix: string, expected: ReadonlyMap<string, string>): Promise<string[]> {
  const found = new Map<string, string>()
  let after: Buffer | null = null
  for (;;) {
    const page: Awaited<ReturnType<KvClient['list']>> = await client.list(
      Buffer.from(`${prefix}/`),
      after ? { limit: 1000, after } : { limit: 1000 },
    )
    for (const { key, value } of page.items) found.set(key.toString(), value.toString())
    after = page.items.at(-1)?.key ?? null
    if (!page.more || !after) break
  }
  return [...expected].filter(([key, value]) => found.get(key) !== value).map(([key]) => key)
}
