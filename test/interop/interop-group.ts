import { eventually, freePorts } from '../process/node-cluster.js'
import type { BraftBinaries } from './binaries.js'
import { GroupCalls } from './group-calls.js'
import { GroupMember, type Kind, type Machine } from './group-member.js'
import { compareLogs } from './member-logs.js'
import type { MemberStat } from './raft-stat.js'

export const ELECTION_TIMEOUT_MS = 1000
/** Far longer than anything takes on a machine that does something else, too: only what hangs gets there. */
const PATIENCE_MS = 60_000

export interface GroupOptions {
  readonly home: string
  readonly host: string
  readonly binaries: BraftBinaries
  readonly machine: Machine
  readonly group: string
  readonly mixed: boolean
  /** Of the entries that raftctl members write. */
  readonly checksum: 'crc32c' | 'murmur32'
}

export interface Standing {
  readonly member: GroupMember
  readonly stat: MemberStat
}

/** Processes of both kinds that form one group, and whoever was or will be a member of it. */
export class InteropGroup {
  readonly members: GroupMember[] = []
  readonly calls: GroupCalls

  constructor(readonly options: GroupOptions) {
    this.calls = new GroupCalls(options.group)
  }

  /** A new group of members of these kinds, up and led. */
  static async found(kinds: readonly Kind[], options: GroupOptions): Promise<InteropGroup> {
    const group = new InteropGroup(options)
    for (const kind of kinds) await group.newMember(kind)
    const founders = group.members.map(({ peerId }) => peerId)
    await Promise.all(group.members.map((member) => member.found(founders)))
    await group.leader()
    return group
  }

  /** A place for another member; nothing runs there yet. */
  async newMember(kind: Kind): Promise<GroupMember> {
    const { home, host, binaries, machine, group, mixed, checksum } = this.options
    const [port] = await freePorts(1)
    const name = `n${this.members.length + 1}`
    const member = new GroupMember(kind, {
      name,
      host,
      port: port!,
      home,
      group,
      machine,
      electionTimeoutMs: ELECTION_TIMEOUT_MS,
      mixed,
      checksum,
      binaries,
    })
    this.members.push(member)
    return member
  }

  get running(): GroupMember[] {
    return this.members.filter((member) => member.running)
  }

  get peers(): string[] {
    return this.running.map(({ peerId }) => peerId)
  }

  /** Why the run is over: a process ended that nobody had ended. */
  get problem(): string | null {
    return this.members.find(({ problem }) => problem !== null)?.problem ?? null
  }

  member(peer: string): GroupMember {
    const found = this.members.find(({ peerId }) => peerId === peer)
    if (!found) throw new Error(`${peer} was never a member`)
    return found
  }

  /** Every running member that answers. */
  async standings(): Promise<Standing[]> {
    const asked = this.running.map(async (member) => ({ member, stat: await member.stat().catch(() => null) }))
    return (await Promise.all(asked)).filter((standing): standing is Standing => standing.stat !== null)
  }

  /** The member that says that it leads, in the newest term that anybody knows. */
  async leader(): Promise<Standing> {
    return await eventually('a leader', () => this.currentLeader(), PATIENCE_MS)
  }

  async currentLeader(): Promise<Standing | null> {
    if (this.problem) throw new Error(this.problem)
    const standings = await this.standings()
    const term = Math.max(...standings.map(({ stat }) => stat.term))
    return standings.find(({ stat }) => stat.state === 'LEADER' && stat.term === term && !stat.changing) ?? null
  }

  /** Waits until every member of the configuration runs, follows one leader and has applied everything that there is. */
  async level(): Promise<Standing> {
    return await eventually(
      'all members to be level',
      async () => {
        const leader = await this.currentLeader()
        if (!leader) return null
        const standings = await this.standings()
        const of = leader.stat.peers.map((peer) => standings.find(({ stat }) => stat.peerId === peer)?.stat)
        const { lastIndex, term } = leader.stat
        const level = of.every((stat) => stat && stat.term === term && stat.lastIndex === lastIndex && stat.appliedIndex === lastIndex)
        return level ? leader : null
      },
      PATIENCE_MS,
    )
  }

  /** Hands leadership to a member; false when it did not get there. */
  async transferTo(target: GroupMember): Promise<boolean> {
    const { stat } = await this.leader()
    if (stat.peerId === target.peerId) return false
    try {
      await this.calls.transferLeader(stat.peerId, target.peerId)
    } catch {
      return false
    }
    const reached = await eventually(
      'the end of a transfer',
      async () => {
        const now = await this.currentLeader()
        return now && (now.member === target || now.stat.term > stat.term) ? now : null
      },
      5 * ELECTION_TIMEOUT_MS,
    ).catch(() => null)
    return reached?.member === target
  }

  /** Leads from now on, however often one has to ask: a busy machine makes a transfer miss its time. */
  async makeLeader(target: GroupMember): Promise<void> {
    await eventually(
      `${target.name} to lead`,
      async () => {
        if ((await this.leader()).member === target) return true
        await this.transferTo(target)
        return (await this.leader()).member === target
      },
      PATIENCE_MS,
    )
  }

  /** Asks the leader, whoever that is meanwhile, until it has happened. */
  async change(what: string, ask: (leader: string) => Promise<void>, done: (peers: readonly string[]) => boolean): Promise<Standing> {
    return await eventually(
      what,
      async () => {
        const before = await this.leader()
        if (!done(before.stat.peers)) await ask(before.stat.peerId).catch(() => {})
        const now = await this.currentLeader()
        return now && done(now.stat.peers) ? now : null
      },
      PATIENCE_MS,
    )
  }

  async remove(member: GroupMember): Promise<Standing> {
    const { peerId } = member
    return await this.change(
      `the removal of ${member.name}`,
      (leader) => this.calls.removePeer(leader, peerId),
      (peers) => !peers.includes(peerId),
    )
  }

  async add(member: GroupMember): Promise<Standing> {
    const { peerId } = member
    return await this.change(
      `the addition of ${member.name}`,
      (leader) => this.calls.addPeer(leader, peerId),
      (peers) => peers.includes(peerId),
    )
  }

  /** Waits until a new member holds what its leader has committed now, and counts. */
  async caughtUp(member: GroupMember): Promise<void> {
    const { stat: leader } = await this.leader()
    await eventually(
      `${member.name} to be caught up and to count`,
      async () => (await member.stat()).appliedIndex >= leader.committedIndex && (await member.counts()),
      PATIENCE_MS,
    )
  }

  /** Compares the logs of the members of the configuration; nothing may be appended meanwhile. */
  compareLogs(peers: readonly string[]): { compared: number; problems: readonly string[] } {
    const { from, to, problems } = compareLogs(
      peers
        .map((peer) => this.member(peer))
        .map(({ name, kind, groupDirectory }) => ({ name: `${name} (${kind})`, directory: groupDirectory })),
    )
    return { compared: Math.max(0, to - from + 1), problems }
  }

  /** Lets each member take a snapshot of all that it has applied. */
  async snapshots(peers: readonly string[]): Promise<{ member: GroupMember; index: number }[]> {
    return await Promise.all(
      peers.map(async (peer) => {
        const member = this.member(peer)
        await this.calls.snapshot(peer)
        return { member, index: (await member.stat()).snapshotIndex }
      }),
    )
  }

  async close(): Promise<void> {
    this.calls.close()
    await Promise.all(this.members.map((member) => member.kill()))
  }
}
