import { resolve } from 'node:path'
import { MACHINES, type MachineKind, machineKindOf } from '../machines/machine.js'
import { Configuration } from '../raft/configuration.js'
import { INSTALL_TASKS_MAX } from '../raft/install-tasks.js'
import { PeerId, PeerRole } from '../raft/peer-id.js'
import { DEFAULT_PRIORITY, PRIORITY_MAX } from '../raft/precedence.js'
import { witnessProblem } from '../raft/witness.js'
import { PEER_PROTOCOLS, type PeerProtocol } from '../rpc/peer-channel.js'
import { describeSync, SYNC_IMMEDIATELY, type SyncPolicy } from '../storage/log-sync.js'
import { StartError } from './start-error.js'

/** The flags of `raftctl node start`, as typed. */
export interface NodeFlags {
  readonly name?: string | undefined
  readonly listen: string
  readonly advertise?: string | undefined
  readonly peers?: string | undefined
  readonly names?: string | undefined
  readonly data: string
  readonly clusterId?: string | undefined
  readonly bootstrapToken?: string | undefined
  readonly join?: string | undefined
  readonly rebuild?: boolean | undefined
  readonly adopt?: boolean | undefined
  readonly moved?: boolean | undefined
  readonly snapshotInterval?: string | undefined
  readonly snapshotMaxRate?: string | undefined
  readonly snapshotMaxCopies?: string | undefined
  readonly unsafeSync?: string | undefined
  readonly checksum?: string | undefined
  readonly leaderLease?: boolean | undefined
  readonly maxClockDrift?: string | undefined
  readonly priority?: string | undefined
  readonly group: string
  readonly electionTimeout: string
  readonly transport?: string | undefined
  readonly witness?: boolean | undefined
  readonly witnessToLeader?: boolean | undefined
  readonly mixed?: boolean | undefined
  readonly enableFaults?: boolean | undefined
  readonly logLevel: string
  readonly logFile?: string | undefined
}

/** How a node process runs: checked, and with every default in its place. */
export interface NodeConfiguration {
  readonly name: string
  readonly listen: { readonly host: string; readonly port: number }
  readonly peerId: PeerId
  /** The members of a new group, this one among them; used only on an empty directory. Empty: waits to be added. */
  readonly initialConf: Configuration
  /** What an empty directory starts as. */
  readonly standing: 'founding' | 'rebuilding'
  /** Members of the running cluster to join, any of which says which cluster that is; empty: none was named. */
  readonly join: readonly PeerId[]
  /** Takes over a directory that braft wrote. */
  readonly adopt: boolean
  /** Takes over its directory from another address. */
  readonly moved: boolean
  /** Names of the initial members by PeerId key. */
  readonly names: ReadonlyMap<string, string>
  readonly dataDir: string
  /** Null: derived from the founders once they know each other. */
  readonly clusterId: string | null
  readonly bootstrapToken: string
  readonly group: string
  readonly machine: MachineKind
  readonly electionTimeoutMs: number
  /** A snapshot is taken every so often; 0: only on demand. */
  readonly snapshotIntervalMs: number
  /** How fast a snapshot is sent or fetched; 0: as fast as it goes. */
  readonly snapshotBytesPerSecond: number
  /** How many snapshots are fetched at a time, of all groups together. */
  readonly snapshotCopiesMax: number
  /** When entries become durable; anything but `immediately` loses acknowledged writes with power. */
  readonly sync: SyncPolicy
  /** What entries carry that this node writes to its log as leader, or receives from a braft leader. */
  readonly checksum: ChecksumName
  /** The leader answers reads of mode lease by its clock. */
  readonly leaderLease: boolean
  readonly maxClockDriftMs: number
  readonly priority: number
  /** A witness may lead while it brings up a member with data; the leader sends it entries whole. */
  readonly witnessToLeader: boolean
  /** What this node speaks to the other members; it listens to both. */
  readonly transport: PeerProtocol
  /** Braft nodes may be members of the group. */
  readonly mixed: boolean
  readonly faultsEnabled: boolean
  readonly logLevel: LogLevel
  readonly logFile: string | null
}

export const CHECKSUMS = ['crc32c', 'murmur32'] as const
export type ChecksumName = (typeof CHECKSUMS)[number]

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

const ELECTION_TIMEOUT_MIN_MS = 50
const ELECTION_TIMEOUT_MAX_MS = 60_000
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/
const GROUP = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/
const CLUSTER_ID = /^[0-9a-f]{32}$/
const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/
const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const SNAPSHOT_INTERVAL_DEFAULT = '1h'
const SNAPSHOT_INTERVAL_MAX_MS = 24 * 3_600_000
const RATE = /^(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)?(?:\/s)?$/
const SIZE = /^(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)?$/
const RATE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
}

/** Checks the flags. Throws StartError E_USAGE that names the flag, its value, and a good one. */
export function parseConfiguration(flags: NodeFlags): NodeConfiguration {
  if (flags.join !== undefined && flags.peers !== undefined)
    throw usage('--join and --peers exclude each other', 'Give --peers to the founders of a new group, --join to who comes later.')
  const listen = endpoint('--listen', flags.listen)
  const peerId = inRole(flags.advertise === undefined ? listen : endpoint('--advertise', flags.advertise), flags.witness ?? false)
  if (flags.advertise === undefined && (listen.host === '0.0.0.0' || listen.host === '[::]')) {
    throw usage(`--listen ${flags.listen} says where to listen, not where the others find this node`, 'Add --advertise HOST:PORT.')
  }
  const join = joinOf(flags.join, peerId)
  const electionTimeoutMs = electionTimeoutOf(flags.electionTimeout)
  const members = join.length > 0 ? [] : peersOf(flags.peers, peerId)
  const names = namesOf(flags, members, peerId)
  return {
    name: names.get(peerId.key) ?? peerId.address,
    listen: { host: listen.host, port: listen.port },
    peerId,
    initialConf: new Configuration(members),
    standing: join.length > 0 || flags.rebuild ? 'rebuilding' : 'founding',
    join,
    adopt: flags.adopt ?? false,
    moved: flags.moved ?? false,
    names,
    dataDir: directory(flags.data),
    clusterId: clusterIdOf(flags.clusterId),
    bootstrapToken: flags.bootstrapToken ?? '',
    ...groupOf(flags.group),
    electionTimeoutMs,
    checksum: checksumOf(flags.checksum ?? 'crc32c'),
    leaderLease: flags.leaderLease ?? false,
    maxClockDriftMs: clockDriftOf(flags.maxClockDrift, electionTimeoutMs),
    witnessToLeader: flags.witnessToLeader ?? false,
    priority: priorityOf(flags.priority ?? String(DEFAULT_PRIORITY)),
    snapshotIntervalMs: snapshotIntervalOf(flags.snapshotInterval ?? SNAPSHOT_INTERVAL_DEFAULT),
    snapshotBytesPerSecond: rateOf(flags.snapshotMaxRate ?? '0'),
    snapshotCopiesMax: copiesOf(flags.snapshotMaxCopies ?? String(INSTALL_TASKS_MAX)),
    sync: flags.unsafeSync === undefined ? SYNC_IMMEDIATELY : unsafeSyncOf(flags.unsafeSync),
    mixed: mixedOf(flags, [peerId, ...members, ...join]),
    transport: transportOf(flags.transport ?? 'grpc'),
    faultsEnabled: flags.enableFaults ?? false,
    logLevel: logLevelOf(flags.logLevel),
    logFile: flags.logFile === undefined ? null : resolve(flags.logFile),
  }
}

function usage(message: string, hint: string): StartError {
  return new StartError('E_USAGE', message, hint)
}

function endpoint(flag: string, text: string): PeerId {
  const peer = PeerId.parse(text)
  if (!peer || peer.port === 0 || !/^(\[[^\]]+\]|[^:]+):\d+$/.test(text)) {
    throw usage(`${flag} "${text}" is no address`, `Give HOST:PORT, for instance ${flag} 127.0.0.1:7001.`)
  }
  return peer
}

function inRole(peer: PeerId, witness: boolean): PeerId {
  return new PeerId(peer.host, peer.port, peer.idx, witness ? PeerRole.WITNESS : PeerRole.REPLICA)
}

function peersOf(text: string | undefined, self: PeerId): PeerId[] {
  if (text === undefined && self.isWitness)
    throw usage('a witness founds no group by itself', 'Name the founders with --peers, or a member of the running cluster with --join.')
  if (text === undefined) return [self]
  const peers = addressesOf('--peers', text, 'Give HOST:PORT,HOST:PORT,… of every member.')
  const keys = peers.map((peer) => peer.key)
  const twice = keys.find((key, at) => keys.indexOf(key) !== at)
  if (twice) throw usage(`--peers names ${twice} twice`, 'Name every member once.')
  const own = peers.find((peer) => peer.equals(self))
  if (own && own.role !== self.role) {
    const [called, mend] = own.isWitness
      ? ['a witness', 'Add --witness, or leave :0:1 out in --peers.']
      : ['no witness', `Write it as ${self} there, and on all other members, or leave --witness out.`]
    throw usage(`--peers calls this node, ${self.address}, ${called}`, mend)
  }
  const problem = witnessProblem(new Configuration(peers))
  if (problem) throw usage(`--peers: ${problem.message}`, 'A witness is a third vote for two members that hold data.')
  if (!keys.includes(self.key)) {
    throw usage(
      `this node, ${self.address}, is missing from --peers ${text}`,
      `Add ${self.address} to --peers, or correct --listen or --advertise.`,
    )
  }
  return peers
}

/** Whom to ask which cluster this is; a node cannot learn that from itself. */
function joinOf(text: string | undefined, self: PeerId): PeerId[] {
  if (text === undefined) return []
  const others = addressesOf('--join', text, 'Give HOST:PORT of any member of the running cluster.').filter((peer) => !peer.equals(self))
  if (others.length > 0) return others
  throw usage(`--join ${text} names nobody but this node`, 'Give HOST:PORT of any other member of the running cluster.')
}

function addressesOf(flag: string, text: string, hint: string): PeerId[] {
  const fields = text.split(',').map((field) => field.trim())
  return fields
    .filter((field) => field !== '')
    .map((field) => {
      const peer = PeerId.parse(field)
      if (!peer || peer.port === 0) throw usage(`${flag} has "${field}", which is no address`, hint)
      return peer
    })
}

/** Names by PeerId key: `--names` goes along with `--peers`, `--name` is this node's. */
function namesOf(flags: NodeFlags, peers: readonly PeerId[], self: PeerId): Map<string, string> {
  const names = new Map<string, string>()
  const listed = flags.names?.split(',').map((name) => name.trim()) ?? []
  if (flags.names !== undefined && listed.length !== peers.length) {
    throw usage(`--names has ${listed.length} names for ${peers.length} peers`, 'Give one name for each member, in the order of --peers.')
  }
  for (const [at, name] of listed.entries()) names.set(peers[at]!.key, checkedName('--names', name))
  if (new Set(listed).size !== listed.length)
    throw usage(`--names ${flags.names} uses a name twice`, 'Give every member a name of its own.')
  if (flags.name !== undefined) {
    const own = checkedName('--name', flags.name)
    const inList = names.get(self.key)
    if (inList !== undefined && inList !== own)
      throw usage(`--name is ${own}, --names calls ${self.address} ${inList}`, 'Make the two agree.')
    names.set(self.key, own)
  }
  return names
}

function checkedName(flag: string, name: string): string {
  return matching(flag, name, NAME, 'letters, digits, dot, dash and underscore, starting with a letter or digit')
}

function matching(flag: string, value: string, pattern: RegExp, allowed: string): string {
  if (!pattern.test(value)) throw usage(`${flag} "${value}" is not allowed`, `Use ${allowed}.`)
  return value
}

/** `NAME` or `NAME=MACHINE`. */
function groupOf(text: string): { group: string; machine: MachineKind } {
  const [name = '', kind = 'kv', ...more] = text.split('=')
  const machine = machineKindOf(kind)
  if (!machine || more.length > 0)
    throw usage(`--group "${text}" names no machine that there is`, `Give NAME or NAME=MACHINE, the machine one of ${MACHINES.join(', ')}.`)
  return { group: matching('--group', name, GROUP, 'letters, digits, dot, dash and underscore'), machine }
}

function directory(text: string): string {
  if (text.trim() === '') throw usage('--data is empty', 'Give the directory that keeps the log: --data ./n1.')
  return resolve(text)
}

function clusterIdOf(text: string | undefined): string | null {
  if (text === undefined || text === '') return null
  if (!CLUSTER_ID.test(text)) throw usage(`--cluster-id "${text}" is no cluster id`, 'Give 32 lower-case hex digits, or leave it out.')
  return text
}

function electionTimeoutOf(text: string): number {
  const ms = durationMs(text)
  if (!(ms >= ELECTION_TIMEOUT_MIN_MS && ms <= ELECTION_TIMEOUT_MAX_MS)) {
    throw usage(
      `--election-timeout "${text}" is not between ${ELECTION_TIMEOUT_MIN_MS}ms and ${ELECTION_TIMEOUT_MAX_MS / 1000}s`,
      'The default is 1000ms.',
    )
  }
  return Math.round(ms)
}

/** By how much two clocks may differ after an election timeout. */
function clockDriftOf(text: string | undefined, electionTimeoutMs: number): number {
  const ms = text === undefined ? electionTimeoutMs / 10 : durationMs(text)
  if (ms > 0 && ms < electionTimeoutMs) return ms
  throw usage(
    `--max-clock-drift "${text}" is not between 0 and the election timeout of ${electionTimeoutMs}ms`,
    'The default is a tenth of the election timeout.',
  )
}

function priorityOf(text: string): number {
  const priority = /^\d{1,4}$/.test(text.trim()) ? Number(text) : Number.NaN
  if (priority <= PRIORITY_MAX) return priority
  throw usage(
    `--priority "${text}" is not a whole number between 0 and ${PRIORITY_MAX}`,
    `The default is ${DEFAULT_PRIORITY}; 0 never campaigns by itself.`,
  )
}

function snapshotIntervalOf(text: string): number {
  const ms = durationMs(text)
  if (ms === 0 || (ms >= 1000 && ms <= SNAPSHOT_INTERVAL_MAX_MS)) return Math.round(ms)
  throw usage(`--snapshot-interval "${text}" is neither 0 nor between 1s and 24h`, 'The default is 1h; 0 takes snapshots on demand only.')
}

/** Milliseconds; NaN for what is no duration. A bare number is milliseconds. */
function durationMs(text: string): number {
  const match = DURATION.exec(text.trim())
  return match ? Number(match[1]) * DURATION_UNITS[match[2] ?? 'ms']! : Number.NaN
}

/** Bytes per second. */
function rateOf(text: string): number {
  const match = RATE.exec(text.trim())
  if (!match) throw usage(`--snapshot-max-rate "${text}" is no rate`, 'Give bytes per second, such as 50MB/s; 0 for no limit.')
  return Math.round(Number(match[1]) * RATE_UNITS[match[2] ?? 'B']!)
}

/** What braft cannot do is refused where it may be a member. */
function mixedOf({ mixed, rebuild, moved, leaderLease }: NodeFlags, peers: readonly PeerId[]): boolean {
  if (!mixed) return false
  const refuse = (what: string, hint: string) => new StartError('E_MIXED', `a group with braft members ${what}`, hint)
  if (rebuild) {
    throw refuse(
      'cannot rebuild a member: braft counts the acknowledgements of one that lost its directory',
      'Remove the member and add it again: braft_cli remove_peer or raftctl member remove, start it with --mixed --join HOST:PORT, then add it.',
    )
  }
  if (moved) {
    throw refuse(
      'has no members that change their address: braft would count them twice',
      'Remove the member and add it at its new address, on an empty directory: raftctl member replace OLD NEW.',
    )
  }
  if (leaderLease) throw refuse('has no leader leases: braft promises none to them', 'Leave --leader-lease out.')
  const bad = peers.find((peer) => !peer.isIpv4)
  if (bad) throw refuse(`knows its members by IPv4 address, not as ${bad.address}`, 'Give the IPv4 address of every member.')
  return true
}

function transportOf(text: string): PeerProtocol {
  const protocol = PEER_PROTOCOLS.find((known) => known === text)
  if (!protocol) throw usage(`--transport "${text}" is no transport`, `Use one of ${PEER_PROTOCOLS.join(', ')}.`)
  return protocol
}

function unsafeSyncOf(text: string): SyncPolicy {
  if (text === 'never') return { when: 'never' }
  const [, amount, unit] = SIZE.exec(text) ?? []
  const bytes = Math.floor(Number(amount) * (RATE_UNITS[unit ?? 'B'] ?? Number.NaN))
  if (bytes >= 1 && Number.isSafeInteger(bytes)) return { when: 'by-bytes', bytes }
  throw usage(`--unsafe-sync "${text}" is no number of bytes`, 'Give bytes such as 4MiB, or never. Without it every write is durable.')
}

function copiesOf(text: string): number {
  const count = Number(text)
  if (/^\d+$/.test(text) && count >= 1 && Number.isSafeInteger(count)) return count
  throw usage(`--snapshot-max-copies "${text}" is no number of copies`, 'Give how many snapshots may be fetched at a time, at least 1.')
}

function checksumOf(text: string): ChecksumName {
  const name = CHECKSUMS.find((known) => known === text)
  if (!name) throw usage(`--checksum "${text}" is not known`, `Use one of ${CHECKSUMS.join(', ')}.`)
  return name
}

function logLevelOf(text: string): LogLevel {
  const level = LOG_LEVELS.find((known) => known === text)
  if (!level) throw usage(`--log-level "${text}" is no log level`, `Use one of ${LOG_LEVELS.join(', ')}.`)
  return level
}

/** Every setting as text, for GetEffectiveConfig. */
export function describeConfiguration(configuration: NodeConfiguration): Record<string, string> {
  const { listen, names } = configuration
  return {
    name: configuration.name,
    listen: `${listen.host}:${listen.port}`,
    advertise: configuration.peerId.address,
    peers: configuration.initialConf.toString(),
    join: configuration.join.map((peer) => peer.address).join(','),
    rebuild: String(configuration.standing === 'rebuilding' && configuration.join.length === 0),
    adopt: String(configuration.adopt),
    moved: String(configuration.moved),
    names: [...names.values()].join(','),
    data: configuration.dataDir,
    group: configuration.group,
    machine: configuration.machine,
    'election-timeout': `${configuration.electionTimeoutMs}ms`,
    'snapshot-interval': `${configuration.snapshotIntervalMs}ms`,
    'snapshot-max-rate': String(configuration.snapshotBytesPerSecond),
    'snapshot-max-copies': String(configuration.snapshotCopiesMax),
    'unsafe-sync': configuration.sync.when === 'immediately' ? '' : describeSync(configuration.sync),
    checksum: configuration.checksum,
    'leader-lease': String(configuration.leaderLease),
    'max-clock-drift': `${configuration.maxClockDriftMs}ms`,
    priority: String(configuration.priority),
    witness: String(configuration.peerId.isWitness),
    'witness-to-leader': String(configuration.witnessToLeader),
    mixed: String(configuration.mixed),
    transport: configuration.transport,
    'enable-faults': String(configuration.faultsEnabled),
    'log-level': configuration.logLevel,
    'log-file': configuration.logFile ?? '',
  }
}
