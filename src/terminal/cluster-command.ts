import { isIP } from 'node:net'
import { BaseCommand } from './base-command.js'
import { type Connection, ENGINE_CHOICES, type EngineChoice, type TlsFiles } from './connection.js'
import type { Context } from './context-files.js'
import { contextNames, readContext, readSelection } from './context-files.js'
import { CliError, ERRORS } from './errors.js'
import { connectionFlags, durationMs, outputFlags } from './flags.js'
import type { Envelope } from './json.js'

interface ConnectionFlagValues {
  context?: string | undefined
  endpoint?: string | undefined
  group?: string | undefined
  engine?: EngineChoice | undefined
  timeout?: number | undefined
  'connect-timeout'?: number | undefined
  direct?: boolean | undefined
  tls?: boolean | undefined
  ca?: string | undefined
  cert?: string | undefined
  key?: string | undefined
  'server-name'?: string | undefined
  'token-file'?: string | undefined
}

const DEFAULT_GROUP = 'kv'
const DEFAULT_TIMEOUT = '5s'
const DEFAULT_CONNECT_TIMEOUT = '2s'

/** A command that talks to a cluster. `connection(flags)` says where: flag, environment, context, files, default, in that order. */
export abstract class ClusterCommand extends BaseCommand {
  static override baseFlags = { ...connectionFlags, ...outputFlags }

  private resolved: Connection | null = null

  protected override envelope(): Envelope {
    const connection = this.resolved
    return { ...super.envelope(), context: connection?.context?.name ?? null, clusterId: connection?.clusterId ?? null }
  }

  /** The context is marked `env: production`: every confirmation is one level higher. */
  protected get production(): boolean {
    return this.resolved?.context?.env === 'production'
  }

  /** Whoever asks a cluster of this machine can start it. */
  protected override advised(error: CliError): CliError {
    const context = this.resolved?.context
    if (!context?.playground || error.code !== 'E_UNREACHABLE' || error.hint !== ERRORS.E_UNREACHABLE.act) return error
    const hint = `It is a cluster of this machine; start what is down:  raftctl cluster start --name ${context.name}`
    return new CliError(error.code, error.message, { hint, details: error.details, data: error.data, cause: error.cause })
  }

  /** Throws E_NO_CONTEXT when nothing says where, E_READ_ONLY when the context only allows reads. */
  protected connection(flags: ConnectionFlagValues): Connection {
    const directory = (name: Parameters<typeof this.directorySetting>[0]) => this.directorySetting(name)
    const context = this.chooseContext(flags)
    const endpoints = flags.endpoint ?? context?.endpoints.join(',') ?? this.setting('endpoint')
    if (endpoints === undefined) throw nowhere()
    const tokenFile = flags['token-file'] ?? this.setting('token-file') ?? null
    const tls = this.chooseTls(flags, context)
    if (tokenFile !== null && tls === null)
      throw new CliError('E_USAGE', '--token-file without TLS would send the token in the clear', { hint: 'Add --tls or --ca FILE.' })
    this.resolved = {
      context,
      endpoints: endpointsOf(endpoints),
      ...groupOf(flags.group, context?.group ?? this.setting('group')),
      engine: flags.engine ?? engineChoice(this.setting('engine')),
      timeoutMs: flags.timeout ?? durationMs(this.setting('timeout') ?? DEFAULT_TIMEOUT),
      connectTimeoutMs: flags['connect-timeout'] ?? durationMs(this.setting('connect-timeout') ?? DEFAULT_CONNECT_TIMEOUT),
      direct: flags.direct ?? false,
      clusterId: context?.clusterId ?? null,
      tls,
      tokenFile,
    }
    if (flags.endpoint === undefined && directory('endpoint') !== undefined && context === null)
      this.out.detail('endpoint from ./raftctl.yaml')
    if (context?.readOnly) this.refuseWhenReadOnly(`context ${context.name} is read-only`)
    return this.resolved
  }

  /** An endpoint on the command line or in the environment stands for itself: only a context named beside it is used then. */
  private chooseContext(flags: ConnectionFlagValues): Context | null {
    const named = flags.context
    if (named !== undefined) return readContext(named)
    if (flags.endpoint !== undefined) return null
    const fromDirectory = this.directorySetting('context')
    if (fromDirectory !== undefined) return readContext(fromDirectory)
    const { current } = readSelection()
    if (current !== null) return readContext(current)
    if (this.setting('endpoint') !== undefined) return null
    const fromUser = this.setting('context')
    return fromUser === undefined ? null : readContext(fromUser)
  }

  private chooseTls(flags: ConnectionFlagValues, context: Context | null): TlsFiles | null {
    const ca = flags.ca ?? context?.ca ?? this.setting('ca') ?? null
    const cert = flags.cert ?? context?.cert ?? this.setting('cert') ?? null
    const key = flags.key ?? context?.key ?? this.setting('key') ?? null
    const serverName = flags['server-name'] ?? context?.serverName ?? this.setting('server-name') ?? null
    return tlsOf({ ca, cert, key, serverName }, flags.tls ?? context?.tls ?? this.setting('tls') === 'true')
  }
}

/** What the flags say by themselves: no context, no files. */
export function connectionOf(flags: ConnectionFlagValues & { readonly endpoint: string }): Connection {
  const { ca = null, cert = null, key = null, 'server-name': serverName = null } = flags
  return {
    context: null,
    endpoints: endpointsOf(flags.endpoint),
    ...groupOf(flags.group, undefined),
    engine: flags.engine ?? 'auto',
    timeoutMs: flags.timeout ?? durationMs(DEFAULT_TIMEOUT),
    connectTimeoutMs: flags['connect-timeout'] ?? durationMs(DEFAULT_CONNECT_TIMEOUT),
    direct: false,
    clusterId: null,
    tls: tlsOf({ ca, cert, key, serverName }, flags.tls === true),
    tokenFile: null,
  }
}

/** What a context says by itself. */
export function contextConnection(context: Context, flags: Pick<ConnectionFlagValues, 'timeout' | 'connect-timeout'>): Connection {
  const { endpoints, group, clusterId, tls = false, ca, cert, key, serverName } = context
  const files = { ca, cert, key, ...(serverName === undefined ? {} : { 'server-name': serverName }) }
  return { ...connectionOf({ ...flags, ...files, tls, endpoint: endpoints.join(',') }), ...groupOf(undefined, group), context, clusterId }
}

/** The usual group is meant only where there is one: who names it wants no other. */
function groupOf(named: string | undefined, usual: string | undefined): Pick<Connection, 'group' | 'anyGroup'> {
  const group = named ?? usual ?? DEFAULT_GROUP
  return { group, anyGroup: named === undefined && group === DEFAULT_GROUP }
}

function engineChoice(setting: string | undefined): EngineChoice {
  if (setting === undefined) return 'auto'
  const choice = ENGINE_CHOICES.find((one) => one === setting)
  if (choice) return choice
  throw new CliError('E_CONFIG', `engine: ${JSON.stringify(setting)} is none of ${ENGINE_CHOICES.join(', ')}`)
}

function endpointsOf(text: string): string[] {
  return text.split(',').map((one) => endpoint(one.trim()))
}

function tlsOf(files: TlsFiles, wanted: boolean): TlsFiles | null {
  const { ca, cert, key, serverName } = files
  if ((cert === null) !== (key === null))
    throw new CliError('E_USAGE', '--cert and --key belong together', { hint: 'Give both, or neither.' })
  return wanted || ca !== null || cert !== null || serverName !== null ? files : null
}

function nowhere(): CliError {
  const names = contextNames()
  return new CliError('E_NO_CONTEXT', 'no cluster to talk to: no context is selected and no endpoint is given', {
    hint: names.length > 0 ? `raftctl context use ${names[0]}    or    -e host:port` : 'raftctl cluster start    or    -e host:port',
    details: { contexts: names },
  })
}

/** Checks and normalises `host:port`, `[v6]:port`. */
export function endpoint(text: string): string {
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match && port > 0 && port <= 65_535 && (match[1] === undefined || isIP(match[1]) === 6)) return text
  throw new CliError('E_USAGE', `${JSON.stringify(text)} is not an endpoint`, {
    hint: 'Write host:port, such as 127.0.0.1:7001 or [::1]:7001.',
  })
}
