import { type etcdserverpb, raftctl } from '../../generated/kv.js'
import { fromInt64 } from '../../raft/types.js'
import { prefixEnd } from './keys.js'

export type CommandType = 'put' | 'delete' | 'txn' | 'cas' | 'compact' | 'mark' | 'unknown'

/** One command of a log, for a person. */
export interface CommandDescription {
  readonly type: CommandType
  /** One line without control characters. */
  readonly summary: string
  /** Wall time of the leader that proposed it; null when it says none. */
  readonly timeMs: number | null
}

const KEY_CHARACTERS_MAX = 48
const VALUE_CHARACTERS_MAX = 32
const OPERATIONS_MAX = 3

type Bytes = Uint8Array | null | undefined

/** Says what an entry of the key-value machine's log does. Never throws: anything may be in a log. */
export function describeCommand(data: Uint8Array): CommandDescription {
  const command = decode(data)
  const timeMs = command === null ? 0 : fromInt64(command.leader_time_ms)
  const [type, summary] = (command === null ? null : describe(command)) ?? [
    'unknown' as const,
    `${data.length} ${data.length === 1 ? 'byte' : 'bytes'} that are no command of this key-value machine`,
  ]
  return { type, summary, timeMs: timeMs > 0 && type !== 'unknown' ? timeMs : null }
}

function describe(command: raftctl.kv.Command.$Properties): [CommandType, string] | null {
  if (command.put) return ['put', describePut(command.put)]
  if (command.delete_range) return ['delete', describeRange(command.delete_range.key, command.delete_range.range_end)]
  if (command.txn) return describeTxn(command.txn)
  if (command.compact) return ['compact', `forgets what is older than revision ${fromInt64(command.compact.revision)}`]
  return command.mark ? ['mark', 'where members hash their state'] : null
}

/** A key or a value in full or cut: text where it is text, else its bytes in hex. */
export function showBytes(bytes: Bytes, options: { charactersMax: number; quoted: 'always' | 'when needed' }): string {
  const { charactersMax, quoted } = options
  const all = bytes ?? new Uint8Array(0)
  // A character has at most four bytes: what is behind cannot show.
  const head = all.subarray(0, 4 * charactersMax + 4)
  const text = textOf(head, head.length < all.length)
  const size = ` (${all.length} bytes)`
  if (text === null) {
    const hex = Buffer.from(all.subarray(0, Math.floor(charactersMax / 2))).toString('hex')
    return hex.length === 2 * all.length ? `0x${hex}` : `0x${hex}…${size}`
  }
  const characters = [...text]
  const isCut = characters.length > charactersMax
  const shown = isCut ? `${characters.slice(0, charactersMax).join('')}…` : text
  const needsQuotes = quoted === 'always' || text === '' || /["\s]/.test(text)
  return `${needsQuotes ? JSON.stringify(shown) : shown}${isCut ? size : ''}`
}

const showKey = (key: Bytes) => showBytes(key, { charactersMax: KEY_CHARACTERS_MAX, quoted: 'when needed' })
const showValue = (value: Bytes) => showBytes(value, { charactersMax: VALUE_CHARACTERS_MAX, quoted: 'always' })
const showPlain = (value: Bytes) => showBytes(value, { charactersMax: VALUE_CHARACTERS_MAX, quoted: 'when needed' })

/** Null when it is not UTF-8, or holds what would steer a terminal. `isCut`: the last character may be incomplete. */
function textOf(bytes: Uint8Array, isCut: boolean): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: isCut })
    return /[\p{C}\u2028\u2029]/u.test(text) ? null : text
  } catch {
    return null
  }
}

function decode(data: Uint8Array): raftctl.kv.Command.$Properties | null {
  try {
    return raftctl.kv.Command.decode(data)
  } catch {
    return null
  }
}

function describePut(put: etcdserverpb.PutRequest.$Properties): string {
  return `${showKey(put.key)} = ${put.ignore_value ? 'its value as it is' : showValue(put.value)}`
}

function describeRange(key: Bytes, rangeEnd: Bytes): string {
  if (!rangeEnd || rangeEnd.length === 0) return showKey(key)
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0
  if (isOpen && (!key || key.length === 0 || (key.length === 1 && key[0] === 0))) return 'every key'
  if (isOpen) return `keys from ${showKey(key)} on`
  if (key && prefixEnd(key).equals(rangeEnd)) return `keys that start with ${showKey(key)}`
  return `keys from ${showKey(key)} to before ${showKey(rangeEnd)}`
}

function describeTxn(txn: etcdserverpb.TxnRequest.$Properties): [CommandType, string] {
  const cas = describeCas(txn)
  if (cas !== null) return ['cas', cas]
  const { compare = [], success = [], failure = [] } = txn
  const then = describeOperations(success)
  if (compare.length === 0) return ['txn', then]
  const condition = compare.length === 1 ? describeCompare(compare[0]!) : `${compare.length} comparisons hold`
  return ['txn', `if ${condition}: ${then}${failure.length > 0 ? `; else: ${describeOperations(failure)}` : ''}`]
}

/** One key compared by its value or revision, or not there yet, and put when that holds. */
function describeCas({ compare = [], success = [], failure = [] }: etcdserverpb.TxnRequest.$Properties): string | null {
  const put = success[0]?.request_put
  const condition = compare[0]
  if (compare.length !== 1 || success.length !== 1 || !put || !condition || (condition.range_end?.length ?? 0) > 0) return null
  if (failure.some((op) => !op.request_range) || (condition.result ?? 0) !== 0) return null
  if (Buffer.compare(condition.key ?? EMPTY, put.key ?? EMPTY) !== 0) return null
  const isAbsent = CREATION.has(condition.target ?? 0) && fromInt64(condition.create_revision) + fromInt64(condition.version) === 0
  const expected = isAbsent ? 'absent' : expectation(condition)
  return expected === null ? null : `${showKey(put.key)} ${expected} → ${showPlain(put.value)}`
}

function expectation({ target, value, mod_revision }: etcdserverpb.Compare.$Properties): string | null {
  if (target === TARGET_VALUE) return showPlain(value)
  return target === TARGET_MOD ? `of revision ${fromInt64(mod_revision)}` : null
}

const EMPTY = new Uint8Array(0)
const TARGETS = ['version', 'create revision', 'mod revision', 'value', 'lease']
const TARGET_MOD = 2
const TARGET_VALUE = 3
/** Compare targets that say, when 0, that a key is not there: version and create revision. */
const CREATION: ReadonlySet<number> = new Set([0, 1])
const RESULTS = ['=', '>', '<', '≠']

function describeCompare(compare: etcdserverpb.Compare.$Properties): string {
  const { target = 0, result = 0 } = compare
  const numbers = [compare.version, compare.create_revision, compare.mod_revision, null, compare.lease]
  const operand = target === TARGET_VALUE ? showValue(compare.value) : String(fromInt64(numbers[target ?? 0]))
  return `${TARGETS[target ?? 0] ?? 'something'} of ${describeRange(compare.key, compare.range_end)} ${RESULTS[result ?? 0] ?? '?'} ${operand}`
}

function describeOperations(operations: readonly etcdserverpb.RequestOp.$Properties[]): string {
  if (operations.length === 0) return 'nothing'
  const shown = operations.slice(0, OPERATIONS_MAX).map((op) => {
    if (op.request_put) return `put ${describePut(op.request_put)}`
    if (op.request_delete_range) return `delete ${describeRange(op.request_delete_range.key, op.request_delete_range.range_end)}`
    if (op.request_range) return `get ${describeRange(op.request_range.key, op.request_range.range_end)}`
    return op.request_txn ? 'a transaction' : 'something unknown'
  })
  const more = operations.length - shown.length
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
