import { Flags } from '@oclif/core'
import { ENGINE_CHOICES } from './connection.js'
import { CliError } from './errors.js'
import { parseDuration, parseLatency } from './format.js'

/** What a command may change; shown in help and prompts, and what read-only mode goes by. */
export type Impact = 'read' | 'leadership' | 'membership' | 'data' | 'unsafe'

/** A length of time, in milliseconds; written `500ms`, `5s`, `2m`. */
export const durationFlagOf = Flags.custom<number>({
  helpValue: '<duration>',
  parse: async (input) => durationMs(input),
})

export function durationMs(input: string): number {
  const parsed = parseDuration(input)
  if (parsed !== null) return parsed
  throw new CliError('E_USAGE', `${JSON.stringify(input)} is not a duration`, { hint: 'Write a number with its unit: 500ms, 5s, 2m.' })
}

/** How long one operation takes, in milliseconds; written `300us`, `20ms`, `1.5s`. */
export const latencyFlag = Flags.custom<number>({
  helpValue: '<latency>',
  parse: async (input) => {
    const value = parseLatency(input)
    if (value !== null) return value
    throw new CliError('E_USAGE', `${JSON.stringify(input)} is not a latency`, { hint: 'Write a number with its unit: 300us, 20ms, 1.5s.' })
  },
})

/** A whole number, not below `min`. */
export const wholeNumberFlag = Flags.custom<number, { min?: number }>({
  helpValue: '<n>',
  parse: async (input, _context, options) => wholeNumber(input, options.min ?? 0),
})

export function wholeNumber(input: string, min = 0): number {
  const value = Number(input)
  if (/^\d+$/.test(input) && Number.isSafeInteger(value) && value >= min) return value
  throw new CliError('E_USAGE', `${JSON.stringify(input)} is not a whole number from ${min} up`, { hint: 'Write digits only.' })
}

/** Bytes; written `0`, `500KB`, `16MB`. */
export const bytesFlag = Flags.custom<number>({
  helpValue: '<bytes>',
  parse: async (input) => bytesOf(input),
})

export function bytesOf(input: string): number {
  const match = /^(\d+(?:\.\d+)?)(B|KB|MB|GB)$/i.exec(input)
  const bytes =
    input === '0'
      ? 0
      : Math.floor(Number(match?.[1]) * ({ B: 1, KB: 1e3, MB: 1e6, GB: 1e9 }[match?.[2]?.toUpperCase() ?? ''] ?? Number.NaN))
  if (Number.isSafeInteger(bytes)) return bytes
  throw new CliError('E_USAGE', `${JSON.stringify(input)} is not a size`, { hint: 'Write bytes with their unit: 500KB, 16MB, or 0.' })
}

/** A number within bounds; written `10`, `0.5`. */
export const numberFlag = Flags.custom<number, { least: number; most: number }>({
  helpValue: '<n>',
  parse: async (input, _context, { least, most }) => {
    const value = Number(input)
    if (/^\d+(\.\d+)?$/.test(input) && value >= least && value <= most) return value
    throw new CliError('E_USAGE', `${JSON.stringify(input)} is not a number from ${least} to ${most}`, {
      hint: 'Write digits, such as 10 or 0.5.',
    })
  },
})

/** Bytes per second; written `500KB/s`, `50MB/s`. */
export const byteRateFlag = Flags.custom<number>({
  helpValue: '<bytes/s>',
  parse: async (input) => {
    const match = /^(\d+(?:\.\d+)?)(B|KB|MB|GB)(?:\/s)?$/i.exec(input)
    const scale = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9 }[match?.[2]?.toUpperCase() ?? ''] ?? 0
    const rate = Math.floor(Number(match?.[1]) * scale)
    if (rate > 0) return rate
    throw new CliError('E_USAGE', `${JSON.stringify(input)} is not a rate`, {
      hint: 'Write bytes per second with their unit: 500KB/s, 50MB/s.',
    })
  },
})

const CONNECTION = 'CONNECTION'
const OUTPUT = 'OUTPUT'
const SAFETY = 'SAFETY'

/** How to reach a cluster. None has a default here: context, configuration files and defaults fill in, in that order. */
export const connectionFlags = {
  context: Flags.string({
    char: 'c',
    env: 'RAFTCTL_CONTEXT',
    helpGroup: CONNECTION,
    helpValue: '<name>',
    description: 'which cluster: a context (raftctl context list)',
  }),
  endpoint: Flags.string({
    char: 'e',
    env: 'RAFTCTL_ENDPOINT',
    helpGroup: CONNECTION,
    helpValue: '<host:port,…>',
    description: 'any one member is enough; the others are discovered',
  }),
  group: Flags.string({
    char: 'g',
    env: 'RAFTCTL_GROUP',
    helpGroup: CONNECTION,
    helpValue: '<name>',
    description: 'Raft group (default: the one of the context, else kv)',
  }),
  engine: Flags.option({ options: ENGINE_CHOICES, helpValue: 'auto|raftctl|braft' })({
    env: 'RAFTCTL_ENGINE',
    helpGroup: CONNECTION,
    description: 'what the nodes are: raftctl, C++ braft, or found out for each (default)',
  }),
  timeout: durationFlagOf({ env: 'RAFTCTL_TIMEOUT', helpGroup: CONNECTION, description: 'for one request (default 5s)' }),
  'connect-timeout': durationFlagOf({
    env: 'RAFTCTL_CONNECT_TIMEOUT',
    helpGroup: CONNECTION,
    description: 'to reach one node (default 2s)',
  }),
  direct: Flags.boolean({ env: 'RAFTCTL_DIRECT', helpGroup: CONNECTION, description: 'ask exactly this node and no other' }),
  tls: Flags.boolean({
    env: 'RAFTCTL_TLS',
    helpGroup: CONNECTION,
    description: 'connect by TLS (implied by --ca, --cert and --server-name)',
  }),
  ca: Flags.string({
    env: 'RAFTCTL_CA',
    helpGroup: CONNECTION,
    helpValue: '<file>',
    description: 'certificates of the authorities to trust',
  }),
  cert: Flags.string({ env: 'RAFTCTL_CERT', helpGroup: CONNECTION, helpValue: '<file>', description: 'certificate to show' }),
  key: Flags.string({ env: 'RAFTCTL_KEY', helpGroup: CONNECTION, helpValue: '<file>', description: 'its private key' }),
  'server-name': Flags.string({
    env: 'RAFTCTL_SERVER_NAME',
    helpGroup: CONNECTION,
    helpValue: '<name>',
    description: 'name to expect in the certificate of the node',
  }),
  'token-file': Flags.string({
    env: 'RAFTCTL_TOKEN_FILE',
    helpGroup: CONNECTION,
    helpValue: '<file>',
    description: 'file with a token to send; needs TLS',
  }),
}

/** How to print. */
export const outputFlags = {
  json: Flags.boolean({ env: 'RAFTCTL_JSON', helpGroup: OUTPUT, description: 'print one JSON document on stdout' }),
  field: Flags.string({
    helpGroup: OUTPUT,
    helpValue: '<path>',
    description: 'print one value of the document only, such as leader or nodes[].id',
  }),
  columns: Flags.string({ helpGroup: OUTPUT, helpValue: '<a,b>', description: 'these columns, in this order' }),
  wide: Flags.boolean({ env: 'RAFTCTL_WIDE', helpGroup: OUTPUT, description: 'all columns' }),
  'no-headers': Flags.boolean({ helpGroup: OUTPUT, description: 'rows only' }),
  'no-color': Flags.boolean({ helpGroup: OUTPUT, description: 'no colour (also NO_COLOR)' }),
  quiet: Flags.boolean({ char: 'q', helpGroup: OUTPUT, description: 'no notes, hints or warnings' }),
  verbose: Flags.boolean({ char: 'v', helpGroup: OUTPUT, description: 'say on stderr what is being done' }),
  'no-input': Flags.boolean({ env: 'RAFTCTL_NO_INPUT', helpGroup: OUTPUT, description: 'never ask; exit 12 instead' }),
}

/** `--watch` repeats every 2 s, `--watch=500ms` as often as it says. */
export const watchFlags = {
  watch: durationFlagOf({
    helpLabel: '    --watch[=<duration>]',
    helpGroup: OUTPUT,
    description: 'repeat, every 2s unless told otherwise',
  }),
}

export const DEFAULT_WATCH = '2s'
export const DEFAULT_WAIT_MS = 60_000

/** For commands that ask before they act. */
export const confirmationFlags = {
  yes: Flags.boolean({ char: 'y', helpGroup: SAFETY, description: 'do not ask' }),
}

/** For every command that changes a cluster by a plan. */
export const mutationFlags = {
  'dry-run': Flags.boolean({ helpGroup: SAFETY, description: 'print the plan and what stands in its way; change nothing' }),
  'plan-out': Flags.string({
    helpGroup: SAFETY,
    helpValue: '<file>',
    description: 'write the plan for raftctl apply instead of executing it',
  }),
  ...confirmationFlags,
  confirm: Flags.string({ helpGroup: SAFETY, helpValue: '<name>', description: 'answer a question that asks for a name' }),
  force: Flags.boolean({ helpGroup: SAFETY, description: 'override the gates that may be overridden; asks for the cluster name' }),
  wait: Flags.boolean({ helpGroup: SAFETY, allowNo: true, default: true, description: 'wait until it is done (default)' }),
  reason: Flags.string({ helpGroup: SAFETY, helpValue: '<text>', description: 'kept in the history' }),
}

/** For commands that hand leadership over: nothing there can be forced, and only a production context asks. */
export const handOverFlags = {
  'dry-run': mutationFlags['dry-run'],
  'plan-out': mutationFlags['plan-out'],
  yes: Flags.boolean({ char: 'y', helpGroup: SAFETY, description: 'do not ask; only a production context does' }),
  wait: Flags.boolean({ helpGroup: SAFETY, allowNo: true, default: true, description: 'until the new leader takes writes (default)' }),
  reason: mutationFlags.reason,
}

/** What the commands with `mutationFlags` read. */
export interface MutationFlagValues {
  readonly 'dry-run'?: boolean
  readonly 'plan-out'?: string | undefined
  readonly yes?: boolean
  readonly confirm?: string | undefined
  readonly force?: boolean
  readonly wait: boolean
  readonly reason?: string | undefined
}
