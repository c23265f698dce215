import type { example } from '../../generated/atomic.js'
import type { Done } from '../../raft/closure.js'
import type { Iterator } from '../../raft/raft.js'
import type { SnapshotReader, SnapshotWriter } from '../../raft/storage.js'
import { toInt64 } from '../../rpc/int64.js'
import { sortSliced } from '../kv/slices.js'
import { type CanonicalState, MarkedMachine } from '../marked-machine.js'
import { answer } from '../serving.js'
import { type Piece, readPieces, writePieces } from '../snapshot-pieces.js'
import { type Command, decodeCommand } from './commands.js'

const SNAPSHOT_FILE = 'data'
const PIECE_BYTES = 64 * 1024

type Values = readonly (readonly [id: bigint, value: bigint])[]

/**
 * braft's atomic example: 64-bit numbers by their id, to exchange or to compare and exchange. One that was never set is 0.
 * The snapshot is text, `id value` in each line, as braft's is.
 */
export class AtomicMachine extends MarkedMachine {
  private values = new Map<bigint, bigint>()

  get(id: bigint): bigint {
    return this.values.get(id) ?? 0n
  }

  override onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) {
      const command = decodeCommand(iterator.data())
      answer(iterator.done(), command === null ? { success: false } : this.execute(command))
    }
  }

  override onSnapshotSave(writer: SnapshotWriter, done: Done): void {
    writePieces(writer, SNAPSHOT_FILE, textOf([...this.values]), done)
  }

  override onSnapshotLoad(reader: SnapshotReader, done: Done): void {
    const loaded = new Map<bigint, bigint>()
    let rest = ''
    const take = ({ position, bytes }: Piece): string | null => {
      const lines = (rest + bytes.toString('latin1')).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const pair = parseLine(line)
        if (!pair) return `no "id value" in a line before byte ${position + bytes.length}`
        loaded.set(...pair)
      }
      return null
    }
    readPieces(reader, SNAPSHOT_FILE, take, (status) => {
      if (status.ok) this.values = loaded
      done(status)
    })
  }

  protected override canonical(): CanonicalState {
    const values: Values = [...this.values]
    return { keys: values.length, pieces: () => sortedPieces(values) }
  }

  override spoil(): boolean {
    const [first] = this.values
    if (first) this.values.set(first[0], first[1] ^ 1n)
    return first !== undefined
  }

  private execute(command: Command): example.AtomicResponse.$Properties {
    const { id } = command
    const before = this.get(id)
    const found = { id: toInt64(id), old_value: toInt64(before) }
    if (command.operation === 'get') return { ...found, success: true, new_value: found.old_value }
    const fits = command.operation === 'exchange' || command.expected === before
    // As in braft, an id exists from the first time somebody tried to set it.
    this.values.set(id, fits ? command.value : before)
    return { ...found, success: fits, new_value: toInt64(fits ? command.value : before) }
  }
}

/** `id value`; null for anything else. */
export function parseLine(line: string): [id: bigint, value: bigint] | null {
  const match = /^(-?\d{1,19}) (-?\d{1,19})$/.exec(line)
  return match && [BigInt(match[1]!), BigInt(match[2]!)]
}

function* textOf(values: Values): Generator<Piece> {
  let position = 0
  let text = ''
  for (const [id, value] of values) {
    text += `${id} ${value}\n`
    if (text.length < PIECE_BYTES) continue
    yield { position, bytes: Buffer.from(text, 'latin1') }
    position += text.length
    text = ''
  }
  if (text !== '') yield { position, bytes: Buffer.from(text, 'latin1') }
}

function* sortedPieces(values: Values): Generator<Uint8Array> {
  const sorting = sortSliced([...values], ([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  let sorted = sorting.next()
  for (; !sorted.done; sorted = sorting.next()) yield NOTHING
  for (const { bytes } of textOf(sorted.value)) yield bytes
}

const NOTHING = new Uint8Array(0)
