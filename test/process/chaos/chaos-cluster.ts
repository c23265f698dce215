import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KvClient } from '../../../src/machines/kv/client.js'
import { eventually, freePorts, TestNode } from '../node-cluster.js'
import { ChaosNetwork } from './network.js'
import { SmallDisk } from './small-disk.js'

/** More than the reserve that a node keeps, and what it writes in some minutes. */
const DISK_MEGABYTES = 192
const CONVERGE_PATIENCE_MS = 60_000

/** A member, and what the one who torments it knows about it. */
export class ChaosNode {
  /** Its process is meant to run. */
  wanted = false
  /** Its disk is, or just was, full: then it may end by itself, or stand still until it is started anew. */
  mayFail = false
  /** Its directory was lost, and it was not seen to be a member again since. */
  rebuilding = false
  paused = false
  /** Why it ended when it should not have. */
  problem: string | null = null

  constructor(
    readonly process: TestNode,
    readonly disk: SmallDisk | null,
    private readonly network: ChaosNetwork,
  ) {}

  get name(): string {
    return this.process.name
  }

  /** Starts it, and tells it where its proxies are as soon as it listens. */
  async start(): Promise<void> {
    this.wanted = true
    this.mayFail = false
    this.process.start(...(this.rebuilding ? ['--rebuild'] : []))
    const ended = this.process.exited()
    void ended.then(({ code, signal, output }) => {
      if (!this.wanted) return
      this.wanted = false
      if (!this.mayFail) this.problem = `${this.name} ended by itself with ${code ?? signal}: ${output.slice(-2000)}`
    })
    await eventually(`${this.name} to listen`, async () => !this.wanted || (await this.tellProxies()))
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (!this.wanted) return
    this.wanted = false
    const { code, signal: by, output } = await this.process.signal(signal)
    if (signal === 'SIGTERM' && code !== 0) this.problem = `${this.name}, asked to stop, ended with ${code ?? by}: ${output.slice(-2000)}`
  }

  /** Its disk has space again: as an administrator would, starts it anew where it gave up. */
  async recover(): Promise<'it went on' | 'it had ended' | 'it had given up'> {
    const ended = !this.wanted
    if (!ended && (await this.process.status().catch(() => null))?.state !== 'ERROR') return 'it went on'
    await this.end('SIGKILL')
    await this.start()
    return ended ? 'it had ended' : 'it had given up'
  }

  pause(): void {
    this.paused = true
    this.process.pause()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (this.wanted) this.process.resume()
  }

  private async tellProxies(): Promise<boolean> {
    await this.process.faults({ dial_map: this.network.dialMap(this.process) })
    return true
  }
}

/** Real processes, each with a small disk and a proxy to each other one. */
export class ChaosCluster {
  private constructor(
    readonly home: string,
    readonly nodes: readonly ChaosNode[],
    readonly network: ChaosNetwork,
  ) {}

  static async start(size: number): Promise<ChaosCluster> {
    const home = mkdtempSync(join(tmpdir(), 'raftctl-chaos-'))
    const ports = await freePorts(size)
    const names = ports.map((_, at) => `n${at + 1}`)
    const peers = ports.map((port) => `127.0.0.1:${port}`).join(',')
    const flags = ['--peers', peers, '--names', names.join(','), '--enable-faults']
    const disks = names.map((name) => SmallDisk.mount(join(home, 'disks', name), DISK_MEGABYTES))
    const processes = names.map((name, at) => new ChaosProcess(name, ports[at]!, home, flags, true))
    const network = await ChaosNetwork.between(processes)
    const cluster = new ChaosCluster(
      home,
      processes.map((process, at) => new ChaosNode(process, disks[at]!, network)),
      network,
    )
    await Promise.all(cluster.nodes.map((node) => node.start()))
    await cluster.leader()
    return cluster
  }

  /** A client of its own that asks `first` as long as it answers. */
  client(first: number, timeoutMs = 4000): KvClient {
    const addresses = this.nodes.map(({ process }) => process.address)
    const at = first % addresses.length
    return new KvClient({ endpoints: [...addresses.slice(at), ...addresses.slice(0, at)], timeoutMs, connectTimeoutMs: 500 })
  }

  get problem(): string | null {
    return this.nodes.find(({ problem }) => problem !== null)?.problem ?? null
  }

  /** The one that says that it leads, in the newest term that anybody who answers knows. */
  async leader(patienceMs = CONVERGE_PATIENCE_MS): Promise<ChaosNode> {
    return await eventually('a leader', async () => (await this.leaderNow()) ?? null, patienceMs)
  }

  async leaderNow(): Promise<ChaosNode | null> {
    const statuses = await Promise.all(this.nodes.map(({ process }) => process.status().catch(() => null)))
    const term = Math.max(...statuses.map((status) => Number(status?.term ?? 0)))
    return this.nodes[statuses.findIndex((status) => status?.state === 'LEADER' && Number(status.term) === term)] ?? null
  }

  /** Every member runs, counts and has applied what the leader has. */
  async converged(): Promise<void> {
    await eventually(
      'every member to come level',
      async () => {
        if (this.problem) throw new Error(this.problem)
        for (const node of this.nodes) if (!node.wanted || node.mayFail) await node.recover()
        const statuses = await Promise.all(this.nodes.map(({ process }) => process.status()))
        const applied = Math.max(...statuses.map((status) => Number(status.applied_index)))
        const level = statuses.every((status) => status.standing === 'member' && Number(status.applied_index) === applied)
        return level && (await this.leaderNow()) !== null
      },
      CONVERGE_PATIENCE_MS,
    )
    for (const node of this.nodes) node.rebuilding = false
  }

  /** Of the state of each member at one place of the log. */
  async stateHashes(): Promise<string[]> {
    const { index } = await eventually('a mark', async () =>
      (await this.leader()).process.control.call('Mark', { group: 'kv' }, { timeoutMs: 5000 }),
    )
    return await Promise.all(
      this.nodes.map(async ({ process }) => {
        const ask = () => process.control.call('HashState', { group: 'kv', mark: index }, { timeoutMs: 10_000 })
        const { sha256 } = await eventually(`the state of ${process.name}`, ask)
        return Buffer.from(sha256!).toString('hex')
      }),
    )
  }

  /** How often somebody became leader. */
  elections(): number {
    return this.nodes
      .map(({ process }) => readFileSync(process.logFile, 'utf8').split('"msg":"election.won"').length - 1)
      .reduce((sum, count) => sum + count, 0)
  }

  /** Ends everything and cleans up. `keepIn`: a copy of everything that was on the disks goes there first. */
  async close(keepIn: string | null): Promise<void> {
    for (const node of this.nodes) {
      node.wanted = false
      node.resume()
    }
    await Promise.all(this.nodes.map(({ process }) => process.close()))
    this.network.close()
    if (keepIn !== null) cpSync(this.home, keepIn, { recursive: true })
    for (const { disk } of this.nodes) disk?.unmount()
    rmSync(this.home, { recursive: true, force: true })
  }
}

/** Its directory lies on its small disk. */
class ChaosProcess extends TestNode {
  override get dataDir(): string {
    return join(this.home, 'disks', this.name, 'data')
  }
}
