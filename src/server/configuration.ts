import { resolve } from 'node:path'
import { Configuration } from '../raft/configuration.js'
import { PeerId } from '../raft/peer-id.js'
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
  readonly join?: boolean | undefined
  readonly group: string
  readonly electionTimeout: string
  readonly enableFaults?: boolean | undefined
  readonly logLevel: string
  readonly logFile?: string | undefined
}

/** How a node process runs: checked, and with every default in its place. */
export interface NodeConfiguration {
  readonly name: string
  readonly listen: { readonly host: string; readonly port: number }
  readonly peerId: PeerId
  /** The members of a new group, this one among them; used only on an empty directory. */
  readonly initialConf: Configuration
  /** Names of the initial members by PeerId key. */
  readonly names: ReadonlyMap<string, string>
  readonly dataDir: string
  /** Null: derived from the founders once they know each other. */
  readonly clusterId: string | null
  readonly bootstrapToken: string
  readonly group: string
  readonly electionTimeoutMs: number
  readonly faultsEnabled: boolean
  readonly logLevel: LogLevel
  readonly logFile: string | null
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

const ELECTION_TIMEOUT_MIN_MS = 50
const ELECTION_TIMEOUT_MAX_MS = 60_000
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/
const GROUP = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/
const CLUSTER_ID = /^[0-9a-f]{32}$/
const DURATION = /^(\d+(?:\.\d+)?)(ms|s)?$/

/** Checks the flags. Throws StartError E_USAGE that names the flag, its value, and a good one. */
export function parseConfiguration(flags: NodeFlags): NodeConfiguration {
  if (flags.join) {
    throw usage('--join waits to be added by `member add`, which this version does not offer', 'Start the members together with --peers.')
  }
  const listen = endpoint('--listen', flags.listen)
  const peerId = flags.advertise === undefined ? listen : endpoint('--advertise', flags.advertise)
  if (flags.advertise === undefined && (listen.host === '0.0.0.0' || listen.host === '[::]')) {
    throw usage(`--listen ${flags.listen} says where to listen, not where the others find this node`, 'Add --advertise HOST:PORT.')
  }
  const initialConf = peersOf(flags.peers, peerId)
  const names = namesOf(flags, initialConf.typed, peerId)
  return {
    name: names.get(peerId.key) ?? peerId.address,
    listen: { host: listen.host, port: listen.port },
    peerId,
    initialConf: new Configuration(initialConf.typed),
    names,
    dataDir: directory(flags.data),
    clusterId: clusterIdOf(flags.clusterId),
    bootstrapToken: flags.bootstrapToken ?? '',
    group: matching('--group', flags.group, GROUP, 'letters, digits, dot, dash and underscore'),
    electionTimeoutMs: electionTimeoutOf(flags.electionTimeout),
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

function peersOf(text: string | undefined, self: PeerId): { typed: PeerId[] } {
  if (text === undefined) return { typed: [self] }
  const typed = text
    .split(',')
    .map((field) => field.trim())
    .filter((field) => field !== '')
    .map((field) => {
      const peer = PeerId.parse(field)
      if (!peer || peer.port === 0)
        throw usage(`--peers has "${field}", which is no address`, 'Give HOST:PORT,HOST:PORT,… of every member.')
      return peer
    })
  const keys = typed.map((peer) => peer.key)
  const twice = keys.find((key, at) => keys.indexOf(key) !== at)
  if (twice) throw usage(`--peers names ${twice} twice`, 'Name every member once.')
  if (!keys.includes(self.key)) {
    throw usage(
      `this node, ${self.address}, is missing from --peers ${text}`,
      `Add ${self.address} to --peers, or correct --listen or --advertise.`,
    )
  }
  return { typed }
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
  const match = DURATION.exec(text.trim())
  const ms = match ? Number(match[1]) * (match[2] === 's' ? 1000 : 1) : Number.NaN
  if (!(ms >= ELECTION_TIMEOUT_MIN_MS && ms <= ELECTION_TIMEOUT_MAX_MS)) {
    throw usage(
      `--election-timeout "${text}" is not between ${ELECTION_TIMEOUT_MIN_MS}ms and ${ELECTION_TIMEOUT_MAX_MS / 1000}s`,
      'The default is 1000ms.',
    )
  }
  return Math.round(ms)
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
    names: [...names.values()].join(','),
    data: configuration.dataDir,
    group: configuration.group,
    'election-timeout': `${configuration.electionTimeoutMs}ms`,
    'enable-faults': String(configuration.faultsEnabled),
    'log-level': configuration.logLevel,
    'log-file': configuration.logFile ?? '',
  }
}
