import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as grpc from '@grpc/grpc-js'
import { Control } from '../../src/rpc/control-definition.js'
import { ServiceClient } from '../../src/rpc/grpc.js'
import { eventually } from '../process/node-cluster.js'
import type { BraftBinaries } from './binaries.js'
import { MemberProcess } from './member-process.js'
import { type MemberStat, raftStat } from './raft-stat.js'

const RAFTCTL = fileURLToPath(new URL('../../../bin/run.js', import.meta.url))

/** On a machine that has much else to do a process may need a minute to begin. */
const START_PATIENCE_MS = 180_000

export type Kind = 'braft' | 'raftctl'

/** A state machine of braft's examples, which ours has, too; kv is ours alone. */
export type Machine = 'counter' | 'atomic' | 'block' | 'kv'

export interface MemberPlace {
  readonly name: string
  /** Where braft puts itself: the IPv4 address of the host's name. */
  readonly host: string
  readonly port: number
  /** Holds the directories and logs of all members. */
  readonly home: string
  readonly group: string
  readonly machine: Machine
  readonly electionTimeoutMs: number
  /** Braft members may take part; else raftctl members keep to themselves. */
  readonly mixed: boolean
  readonly checksum: 'crc32c' | 'murmur32'
  readonly binaries: BraftBinaries
}

/**
 * A member of a group: a process of one kind or the other on a directory. The kind may change while it is stopped; the
 * directory stays.
 */
export class GroupMember {
  private readonly process: MemberProcess
  /** Whom an empty directory names as the members of the group; empty: it waits to be added. */
  private founders: readonly string[] = []
  /** Whom to ask about the running group. */
  private contacts: readonly string[] = []
  private adopts = false
  /** Starts with --mixed; only of ours. */
  private takesBraft: boolean

  constructor(
    private currentKind: Kind,
    readonly place: MemberPlace,
  ) {
    this.takesBraft = place.mixed
    mkdirSync(this.dataDir, { recursive: true })
    this.process = new MemberProcess(place.name, join(place.home, `${place.name}.log`))
  }

  get kind(): Kind {
    return this.currentKind
  }

  get name(): string {
    return this.place.name
  }

  get address(): string {
    return `${this.place.host}:${this.place.port}`
  }

  get peerId(): string {
    return `${this.address}:0:0`
  }

  get dataDir(): string {
    return join(this.place.home, this.place.name)
  }

  /** Holds the log and the snapshots: the data directory itself, or a place of the group in it. */
  get groupDirectory(): string {
    const own = join(this.dataDir, 'groups', this.place.group)
    return existsSync(own) ? own : this.dataDir
  }

  get running(): boolean {
    return this.process.running
  }

  get problem(): string | null {
    return this.process.problem
  }

  /** Starts as one of the members that a new group begins with. */
  async found(founders: readonly string[]): Promise<void> {
    this.founders = founders
    this.contacts = []
    await this.start()
  }

  /** Starts on an empty directory, to be added by the leader. */
  async join(contacts: readonly string[]): Promise<void> {
    this.founders = []
    this.contacts = contacts
    await this.start()
  }

  async start(): Promise<void> {
    if (this.kind === 'braft') this.process.start(...this.braftCommand())
    else this.process.start(...this.raftctlCommand())
    this.adopts = false
    const answers = async () => (this.running ? await this.stat() : true)
    await eventually(`${this.name} to answer`, answers, START_PATIENCE_MS)
    if (this.problem) throw new Error(this.problem)
  }

  async kill(): Promise<void> {
    await this.process.end('SIGKILL')
  }

  /** Asks it to stop, each kind as it wants to be asked. */
  async stop(): Promise<void> {
    await this.process.end(this.kind === 'braft' ? 'SIGINT' : 'SIGTERM')
  }

  /** The next start is of the other kind, on the same directory. */
  become(kind: Kind): void {
    if (kind === this.currentKind) return
    this.adopts = kind === 'raftctl'
    this.currentKind = kind
  }

  /** From the next start on braft members are taken, or not. */
  takeBraft(taken: boolean): void {
    this.takesBraft = taken
  }

  wipe(): void {
    rmSync(this.dataDir, { recursive: true })
    mkdirSync(this.dataDir)
  }

  stat(): Promise<MemberStat> {
    return raftStat(this.address, this.place.group)
  }

  /** Whether it may vote and be handed leadership: one of ours that began empty must first hold what it may have lost. */
  async counts(): Promise<boolean> {
    if (this.kind === 'braft') return true
    const channel = new grpc.Client(this.address, grpc.credentials.createInsecure())
    try {
      const status = await new ServiceClient(Control, channel).call('GetNodeStatus', { group: this.place.group }, { timeoutMs: 2000 })
      return status.standing === 'member'
    } finally {
      channel.close()
    }
  }

  /** Indexes of the snapshots in its directory. */
  snapshots(): number[] {
    const directory = join(this.groupDirectory, 'snapshot')
    const names = existsSync(directory) ? readdirSync(directory) : []
    return names.flatMap((name) => /^snapshot_(\d{20})$/.exec(name)?.slice(1).map(Number) ?? []).sort((a, b) => a - b)
  }

  logTail(): string {
    return this.process.tail()
  }

  private braftCommand(): [string, string[], string] {
    const { binaries, machine, port, group, electionTimeoutMs } = this.place
    if (machine === 'kv') throw new Error('braft has no such machine')
    const flags = {
      port,
      group,
      conf: this.founders.join(','),
      data_path: this.dataDir,
      election_timeout_ms: electionTimeoutMs,
      // Only on demand: what is counted is what was asked for.
      snapshot_interval: 86_400,
      crash_on_fatal_log: true,
      bthread_concurrency: 4,
    }
    return [binaries.path(`${machine}_server`), Object.entries(flags).map(([name, value]) => `-${name}=${value}`), this.place.home]
  }

  private raftctlCommand(): [string, string[], string] {
    const { machine, group, electionTimeoutMs, checksum } = this.place
    const members =
      this.founders.length > 0
        ? ['--peers', this.founders.map(addressOf).join(',')]
        : this.contacts.length > 0
          ? ['--join', this.contacts.map(addressOf).join(',')]
          : []
    const args = [
      ...['node', 'start', '--name', this.name, '--listen', this.address, '--data', this.dataDir],
      ...[
        '--group',
        machine === 'kv' ? group : `${group}=${machine}`,
        '--election-timeout',
        `${electionTimeoutMs}ms`,
        '--snapshot-interval',
        '0',
      ],
      ...(this.takesBraft ? ['--mixed'] : []),
      ...['--checksum', checksum],
      ...members,
      ...(this.adopts ? ['--adopt'] : []),
    ]
    return [process.execPath, [RAFTCTL, ...args], this.place.home]
  }
}

function addressOf(peer: string): string {
  return peer.split(':').slice(0, 2).join(':')
}
