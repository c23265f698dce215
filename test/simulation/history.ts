import { checkLinearizability } from '../../src/admin/linearizability/check.js'
import { HistoryRecorder, type PendingOperation } from '../../src/admin/linearizability/operation.js'
import { describeProblem } from '../../src/admin/linearizability/picture.js'
import { ABSENT, type RegisterAnswer, type RegisterCall, registerModel } from '../../src/admin/linearizability/register-model.js'
import { digestAfter, type RegisterMachine } from './register-machine.js'
import type { RegisterState } from './register-state.js'

/** A write as its client sees it. */
export interface WriteRecord {
  readonly serial: number
  readonly key: number
  /** What every linearizable observer had seen when it was called: it must end up behind that. */
  readonly floor: number
  outcome: 'pending' | 'acked' | 'refused' | 'unknown'
  /** Where it was committed; 0 until it was seen applied. */
  index: number
  readonly told: PendingOperation<RegisterAnswer>
}

/** A read under way. */
export interface ReadRecord {
  readonly key: number
  /** As in WriteRecord. */
  readonly floor: number
  readonly told: PendingOperation<RegisterAnswer>
}

interface Committed {
  readonly term: number
  readonly serial: number
}

/** The committed writes up to and with the one at `index`, in one number. */
interface Digest {
  readonly index: number
  readonly digest: number
}

/** The write that a register holds from `index` on. */
interface Held {
  readonly index: number
  readonly serial: number
}

/** So many operations are judged in some tens of milliseconds. */
const JUDGED_MAX = 6000

/**
 * What clients did, and the one history that all machines must agree on.
 *
 * Log order is the order of effects, so linearizability needs no search: every operation must take effect between its
 * call and its end. A write acknowledged before another operation is called lies below that one in the log; a read sees
 * everything that was acknowledged, or read by a finished read, before it was called.
 *
 * That trusts what machines say of their index. `judge` does not: from what clients alone saw it looks for an order that
 * explains it, when all is over.
 */
export class History {
  readonly writes = new Map<number, WriteRecord>()
  /** The global log of applied writes. */
  readonly committed = new Map<number, Committed>()
  lastCommitted = 0
  readonly counts = { writes: 0, acked: 0, refused: 0, unknown: 0, reads: 0, readsDone: 0, readsFailed: 0, judged: 0 }
  /** No finished operation saw less than this. */
  private seen = 0
  private nextSerial = 1
  /** The one true machine, at every committed index. */
  private readonly digests: Digest[] = [{ index: 0, digest: 0 }]
  private readonly registers = new Map<number, Held[]>()
  private readonly lastApplied = new WeakMap<RegisterMachine, number>()
  /** What clients saw, and nothing else. */
  private readonly clients: HistoryRecorder<RegisterCall, RegisterAnswer>

  constructor(
    private readonly fail: (invariant: string, detail: string) => void,
    now: () => number,
  ) {
    this.clients = new HistoryRecorder(now)
  }

  /** What every operation called now must see. */
  get floor(): number {
    return this.seen
  }

  /** Something else that a client does, which is judged with the rest. */
  beginOperation(via: string, key: string, call: RegisterCall): PendingOperation<RegisterAnswer> {
    return this.clients.begin(via, key, call)
  }

  /** A client writes to a register through `via`. */
  beginWrite(via: string, key: number): WriteRecord {
    const serial = this.nextSerial++
    const told = this.clients.begin(via, `register ${key}`, { kind: 'put', value: String(serial) })
    const record: WriteRecord = { serial, key, floor: this.seen, outcome: 'pending', index: 0, told }
    this.writes.set(record.serial, record)
    this.counts.writes++
    return record
  }

  endWrite(record: WriteRecord, outcome: 'acked' | 'refused' | 'unknown'): void {
    if (record.outcome !== 'pending') this.fail('closure runs once', `write ${record.serial} ended as ${outcome} after ${record.outcome}`)
    record.outcome = outcome
    this.counts[outcome]++
    if (outcome === 'acked') {
      if (record.index === 0) this.fail('acknowledged before applied', `write ${record.serial} was acknowledged and no machine applied it`)
      this.seen = Math.max(this.seen, record.index)
      record.told.answered({}, record.index)
    }
    if (outcome === 'refused') record.told.failed()
    if (outcome === 'refused' && record.index !== 0)
      this.fail('refused means not applied', `write ${record.serial} was refused and is applied at ${record.index}`)
  }

  /** A machine took the write at `index`. */
  applied(machine: RegisterMachine, who: string, index: number, term: number, serial: number): void {
    const previous = this.lastApplied.get(machine) ?? 0
    this.lastApplied.set(machine, index)
    if (index <= previous) this.fail('applied in order', `${who} applied ${index} after ${previous}`)
    const known = this.committed.get(index)
    if (known) {
      if (known.serial !== serial || known.term !== term) {
        this.fail(
          'state machine safety',
          `${who} applied write ${serial} of term ${term} at ${index}, others ${known.serial} of term ${known.term}`,
        )
      }
    } else if (index <= this.lastCommitted) {
      this.fail('state machine safety', `${who} applied a write at ${index}, which others passed over`)
    } else this.commit(who, index, term, serial)
    for (let i = previous + 1; i < index; i++)
      if (this.committed.has(i)) this.fail('state machine safety', `${who} passed over the write at ${i}, digest ${machine.digest}`)
  }

  /** A machine took over a snapshot of everything up to `upTo`. */
  loaded(machine: RegisterMachine, who: string, upTo: number): void {
    const previous = this.lastApplied.get(machine) ?? 0
    if (machine.lastWriteIndex < previous)
      this.fail(
        'snapshots do not go back',
        `${who} had applied ${previous} and loaded a snapshot whose last write is ${machine.lastWriteIndex}`,
      )
    const problem = this.differenceAt(upTo, machine)
    if (problem) this.fail('a snapshot is the state of the log', `${who} loaded a snapshot of ${upTo}: ${problem}`)
    this.lastApplied.set(machine, machine.lastWriteIndex)
  }

  /** How `state` differs from what the committed writes up to `index` make; null when it does not. */
  differenceAt(index: number, state: RegisterState): string | null {
    const { index: lastWriteIndex, digest } = lastUpTo(this.digests, index)!
    if (state.lastWriteIndex !== lastWriteIndex) return `its last write is ${state.lastWriteIndex}, not ${lastWriteIndex}`
    if (state.digest !== digest) return `its digest is ${state.digest}, not ${digest}`
    for (const [key, held] of this.registers) {
      const serial = lastUpTo(held, index)?.serial
      if (state.registers.get(key) !== serial) return `register ${key} holds ${state.registers.get(key)}, not ${serial}`
    }
    return null
  }

  beginRead(via: string, key: number): ReadRecord {
    this.counts.reads++
    return { key, floor: this.seen, told: this.clients.begin(via, `register ${key}`, { kind: 'get' }) }
  }

  /** A read that was answered from a machine which had applied the writes up to `applied`. */
  endRead(who: string, { key, floor, told }: ReadRecord, applied: number, value: number): void {
    this.counts.readsDone++
    told.answered({ found: value === 0 ? ABSENT : { value: String(value) } })
    if (applied < floor)
      this.fail('linearizable reads', `${who} answered a read from index ${applied}, but ${floor} had been seen before it was called`)
    const record = this.writes.get(value)
    if (value !== 0 && (!record || record.key !== key || record.index > applied))
      this.fail('linearizable reads', `${who} answered register ${key} with write ${value}, which it had not applied at ${applied}`)
    this.seen = Math.max(this.seen, applied)
  }

  failRead({ told }: ReadRecord): void {
    this.counts.readsFailed++
    told.failed()
  }

  /** Whether what clients saw can be explained by one register each; when all is over. Busy seeds: as many registers as fit. */
  judge(): void {
    const operations = this.clients.operations().filter(({ call, answer }) => call.kind !== 'get' || answer !== null)
    const share = Math.min(1, JUDGED_MAX / operations.length)
    const keys = [...new Set(operations.map(({ key }) => key))].sort()
    const judged = new Set(keys.slice(0, Math.max(1, Math.floor(keys.length * share))))
    const { problem, operations: count } = checkLinearizability(
      operations.filter(({ key }) => judged.has(key)),
      registerModel,
      { operationsPerKeyMax: Infinity },
    )
    this.counts.judged += count
    if (problem) this.fail('clients saw a linearizable history', describeProblem(problem, registerModel))
  }

  private commit(who: string, index: number, term: number, serial: number): void {
    const record = this.writes.get(serial)
    if (!record) return this.fail('no phantom writes', `${who} applied write ${serial} at ${index}, which nobody wrote`)
    if (record.index !== 0) this.fail('applied once', `write ${serial} is committed at ${record.index} and at ${index}`)
    if (record.outcome === 'refused') this.fail('refused means not applied', `write ${serial} was refused and is applied at ${index}`)
    if (index <= record.floor)
      this.fail('linearizable writes', `write ${serial} took effect at ${index}, but ${record.floor} had been seen before it was called`)
    record.index = index
    this.committed.set(index, { term, serial })
    this.lastCommitted = index
    this.digests.push({ index, digest: digestAfter(this.digests.at(-1)!.digest, index, serial) })
    const held = this.registers.get(record.key)
    if (held) held.push({ index, serial })
    else this.registers.set(record.key, [{ index, serial }])
  }
}

/** The last of `items`, which rise by index, that does not lie above `index`. */
function lastUpTo<T extends { readonly index: number }>(items: readonly T[], index: number): T | undefined {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (items[middle]!.index <= index) low = middle + 1
    else high = middle
  }
  return items[low - 1]
}
