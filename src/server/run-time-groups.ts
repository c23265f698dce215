import { MACHINES, machineKindOf } from '../machines/machine.js'
import { Configuration } from '../raft/configuration.js'
import type { FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { InstallTasks } from '../raft/install-tasks.js'
import type { Node } from '../raft/node.js'
import { PeerId } from '../raft/peer-id.js'
import type { HostedGroup } from '../rpc/control-host.js'
import type { Faults } from '../rpc/faults.js'
import type { ProcessIdentity } from '../rpc/identity.js'
import type { NodeManager } from '../rpc/node-manager.js'
import { type FoundGroup, GroupDirectories } from '../storage/group-directories.js'
import { type GroupRecord, groupNameProblem } from '../storage/group-record.js'
import type { NodeConfiguration } from './configuration.js'
import { readIdentity } from './data-directory.js'
import type { ProductionEnvironment } from './environment.js'
import { GroupHost } from './group-host.js'
import { configurationFor } from './joining.js'
import type { Logger } from './logging.js'

/** So many directories are opened at a time when a node starts: each waits for the disk several times over. */
const OPENING_MAX = 16

export interface RunTimeGroupsOptions {
  readonly configuration: NodeConfiguration
  readonly environment: ProductionEnvironment
  readonly fileSystem: FileSystem
  readonly identity: ProcessIdentity
  readonly faults: Faults
  readonly installTasks: InstallTasks
  readonly nodes: NodeManager<Node>
  readonly log: Logger
}

/** A group of this process besides the one it was started with. */
interface Entry {
  readonly name: string
  readonly record: GroupRecord | null
  host: GroupHost | null
  /** Why it does not run; null while it does. */
  problem: string | null
}

/**
 * The groups that are created and removed while the process runs, and found on its disk when it starts.
 *
 * Invariants
 * - Nothing of a group runs before its record is durable, and nothing does any more when its directory is given up.
 * - Creating and removing one group take turns.
 * - One that cannot be opened hinders no other: it is listed with its problem.
 */
export class RunTimeGroups {
  private readonly entries = new Map<string, Entry>()
  private readonly turns = new Map<string, Promise<unknown>>()
  private readonly directories: GroupDirectories
  private space: 'short' | 'ample' = 'ample'
  /** Why nothing is created or removed: before all that the disk holds is known, a new group could begin in the directory of an old one. */
  private unknown: Status | null = Status.error(ErrorCode.EAGAIN, 'the groups on the disk are being read')
  private closed = false

  constructor(private readonly options: RunTimeGroupsOptions) {
    const { configuration, environment, fileSystem } = options
    this.directories = new GroupDirectories(fileSystem, environment.checksum, configuration.dataDir)
  }

  of(group: string): GroupHost | null {
    return this.entries.get(group)?.host ?? null
  }

  /** Of those that run or ought to. */
  list(): HostedGroup[] {
    return [...this.entries.values()].map(({ name, record, problem }) => ({
      group: name,
      machine: record?.machine ?? '',
      uid: record?.uid ?? '',
      founders: record?.founders ?? [],
      problem,
    }))
  }

  /** Opens what the disk holds, but for the group the node was started with. */
  async openAll(): Promise<void> {
    const startedAt = performance.now()
    const { status, found } = await this.onExecutor<FoundGroup[]>((done) => this.directories.list(done))
    if (!status.ok) {
      this.unknown = Status.error(ErrorCode.EIO, `the groups on the disk cannot be read: ${status.message}`)
      return void this.options.log.error({ error: status.message }, 'groups.unreadable')
    }
    const queue = (found ?? [])
      .filter(({ name }) => name !== this.options.configuration.group)
      .map((group) => ({ group, entry: this.enter(group.name, group.record, problemOf(group)) }))
    const total = queue.length
    this.unknown = null
    const open = async () => {
      for (let next = queue.shift(); next && !this.closed; next = queue.shift()) await this.openFound(next)
    }
    await Promise.all(Array.from({ length: OPENING_MAX }, open))
    if (total > 0) this.options.log.info({ groups: total, tookMs: Math.round(performance.now() - startedAt) }, 'groups.open')
  }

  /** Resolves once the group is durable here and its peers can speak to it. EEXIST: another one of that name is here. */
  create(record: GroupRecord): Promise<{ readonly status: Status; readonly created: boolean }> {
    return this.inTurn(record.group, async () => {
      if (this.unknown) return { status: this.unknown, created: false }
      const known = this.entries.get(record.group)
      if (known?.record?.uid === record.uid) return { status: Status.OK, created: false }
      if (known) return { status: Status.error(ErrorCode.EEXIST, `another group ${record.group} is here`), created: false }
      const { status } = await this.onExecutor((done) => this.directories.create(record, done))
      if (!status.ok || this.closed) return { status, created: false }
      const entry = this.enter(record.group, record, null)
      this.run(entry, record)
      this.options.log.info({ group: record.group, uid: record.uid, founders: record.founders }, 'group.created')
      return { status: Status.OK, created: true }
    })
  }

  /** Resolves once nothing of the group is left. False: it is not here. `uid` '' means whichever group is called so. */
  remove(group: string, uid: string): Promise<{ readonly status: Status; readonly removed: boolean }> {
    return this.inTurn(group, async () => {
      if (this.unknown) return { status: this.unknown, removed: false }
      const entry = this.entries.get(group)
      if (!entry) return { status: Status.OK, removed: false }
      if (uid !== '' && entry.record?.uid !== uid)
        return { status: Status.error(ErrorCode.EEXIST, `another group ${group} is here`), removed: false }
      entry.problem = 'is being removed'
      await this.halt(entry)
      const { status } = await this.onExecutor((done) => this.directories.remove(group, done))
      if (!status.ok) {
        entry.problem = `could not be removed: ${status.message}`
        return { status, removed: false }
      }
      this.entries.delete(group)
      this.options.identity.forgetGroup(group)
      this.options.log.info({ group }, 'group.removed')
      return { status: Status.OK, removed: true }
    })
  }

  /** It is no member of the group any more: that is written down, and the group runs here no longer. */
  leave(group: string, reason: string): Promise<void> {
    return this.inTurn(group, async () => {
      const entry = this.entries.get(group)
      const host = entry?.host
      if (!entry || !host) return
      const { conf } = host.node.status().configuration
      const members = conf.peers.filter((peer) => !peer.equals(host.node.peerId)).map((peer) => peer.address)
      await host
        .remember({ reason, members })
        .catch((error: Error) => this.options.log.error({ group, error: error.message }, 'group.left'))
      await this.halt(entry)
      entry.problem = noMember(reason)
    })
  }

  setDiskSpace(state: 'short' | 'ample'): void {
    this.space = state
    for (const { host } of this.entries.values()) host?.setDiskSpace(state)
  }

  /** Every leader hands over first. */
  async close(): Promise<void> {
    this.closed = true
    await Promise.all([...this.entries.values()].map((entry) => this.halt(entry)))
  }

  private openFound({ group, entry }: { readonly group: FoundGroup; readonly entry: Entry }): Promise<void> {
    return this.inTurn(entry.name, async () => {
      const { record } = entry
      // It may have been removed before its turn came.
      if (!record || this.entries.get(entry.name) !== entry) return
      const found = await readIdentity(group.directory, this.options.environment.checksum)
      if (found !== null && found !== 'damaged') {
        if (found.removed) entry.problem = noMember(found.removed.reason)
        else if ((found.machine ?? 'kv') !== record.machine)
          entry.problem = `its log is of the ${found.machine} machine, not ${record.machine}`
        if (entry.problem !== null) return
      }
      const running = this.run(entry, record, found === 'damaged' ? null : found)
      // A founder waits for the others, and must not keep the next group waiting.
      if (found !== null && found !== 'damaged' && found.standing !== 'founding') await running
    })
  }

  private enter(name: string, record: GroupRecord | null, problem: string | null): Entry {
    const entry: Entry = { name, record, host: null, problem }
    this.entries.set(name, entry)
    if (record) this.options.identity.knowGroup(name, record.uid)
    return entry
  }

  /** Starts the node of a group. Resolves once it takes part, which a founder does when all are there, or cannot. */
  private async run(entry: Entry, record: GroupRecord, found: Parameters<typeof configurationFor>[1] = null): Promise<void> {
    const { environment, fileSystem, identity, faults, installTasks, nodes, log } = this.options
    if (this.closed) return
    const configuration = configurationFor(this.configurationOf(record), found)
    const host = new GroupHost({
      ...{ directory: this.directories.of(record.group), configuration, environment, fileSystem, identity, faults, installTasks },
      isHome: false,
    })
    entry.host = host
    try {
      await host.start((node) => nodes.add(node))
      environment.executor.post(() => host.setDiskSpace(this.space), 'space')
    } catch (error) {
      if (entry.host !== host || this.closed) return
      entry.problem = (error as Error).message
      log.error({ group: record.group, error: entry.problem }, 'group.failed')
      await this.halt(entry)
    }
  }

  private configurationOf({ group, machine, founders }: GroupRecord): NodeConfiguration {
    const members = founders.flatMap((founder) => PeerId.parse(founder) ?? [])
    return {
      ...this.options.configuration,
      ...{ group, machine: machineKindOf(machine)!, mixed: false, adopt: false, join: [] },
      initialConf: new Configuration(members),
      standing: members.length > 0 ? 'founding' : 'rebuilding',
    }
  }

  private async halt(entry: Entry): Promise<void> {
    const { host } = entry
    if (!host) return
    entry.host = null
    await host.stop()
    this.options.nodes.remove(host.node)
  }

  private async inTurn<T>(group: string, act: () => Promise<T>): Promise<T> {
    const turn = (this.turns.get(group) ?? Promise.resolve()).then(act)
    const over = turn.then(
      () => {},
      () => {},
    )
    this.turns.set(group, over)
    try {
      return await turn
    } finally {
      if (this.turns.get(group) === over) this.turns.delete(group)
    }
  }

  private onExecutor<T = never>(start: (done: (status: Status, value?: T) => void) => void): Promise<{ status: Status; found?: T }> {
    return new Promise((resolve) =>
      this.options.environment.executor.post(
        () => start((status, found) => resolve(found === undefined ? { status } : { status, found })),
        'groups',
      ),
    )
  }
}

/** Why what was found is not run; null when it is. */
function problemOf(group: FoundGroup): string | null {
  return group.record ? null : (group.problem ?? startedByName(group.name))
}

function noMember(reason: string): string {
  return `this node was removed from the group: ${reason}`
}

function startedByName(group: string): string {
  return `it was not created at run time: start the node with --group ${group} to run it`
}

/** What a group may be called and run; null when it is fine. */
export function groupProblem(group: string, machine: string): string | null {
  const problem = groupNameProblem(group)
  if (problem !== null || machine === 'kv') return problem
  return machineKindOf(machine)
    ? `a group created at run time runs the key-value machine: the calls of ${machine} name no group, so a node serves one such group, given with node start --group NAME=${machine}`
    : `there is no machine "${machine}": ${MACHINES.join(', ')}`
}
