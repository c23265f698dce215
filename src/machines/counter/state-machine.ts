import { example } from '../../generated/braft.js'
import type { Done } from '../../raft/closure.js'
import type { Iterator } from '../../raft/raft.js'
import type { SnapshotReader, SnapshotWriter } from '../../raft/storage.js'
import { toBigInt, toInt64 } from '../../rpc/int64.js'
import { ProtoBufFile } from '../../storage/protobuf-file.js'
import type { CommandText } from '../machine.js'
import { type CanonicalState, MarkedMachine } from '../marked-machine.js'
import { answer } from '../serving.js'

const SNAPSHOT_FILE = 'data'

/**
 * braft's counter: one 64-bit number that commands add to. Commands and snapshots have braft's bytes, so that members of
 * either kind can share a group and a disk.
 *
 * How any machine works with the engine is seen here in its simplest form: FSMCaller calls every method, one at a time and in
 * log order; the machine looks at nothing but the log; and it answers whoever proposed a command here.
 */
export class CounterMachine extends MarkedMachine {
  value = 0n

  override onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) {
      const before = this.value
      this.value = BigInt.asIntN(64, before + (amountOf(iterator.data()) ?? 0n))
      answer<example.CounterResponse.$Properties>(iterator.done(), { success: true, value: toInt64(before) })
    }
  }

  override onSnapshotSave(writer: SnapshotWriter, done: Done): void {
    const file = new ProtoBufFile(writer.fileSystem, `${writer.path}/${SNAPSHOT_FILE}`, example.Snapshot)
    file.save(this.snapshot(), (status) => done(status.ok ? writer.addFile(SNAPSHOT_FILE) : status))
  }

  override onSnapshotLoad(reader: SnapshotReader, done: Done): void {
    const file = new ProtoBufFile(reader.fileSystem, `${reader.path}/${SNAPSHOT_FILE}`, example.Snapshot)
    file.load((status, snapshot) => {
      if (status.ok) this.value = toBigInt(snapshot!.value)
      done(status)
    })
  }

  protected override canonical(): CanonicalState {
    const bytes = example.Snapshot.encode(this.snapshot()).finish()
    return { keys: 1, pieces: () => [bytes].values() }
  }

  override spoil(): boolean {
    this.value ^= 1n
    return true
  }

  private snapshot(): example.Snapshot.$Shape {
    return { value: toInt64(this.value) }
  }
}

/** What a command adds; null for bytes that are no command, which change nothing on any member. */
function amountOf(data: Buffer): bigint | null {
  try {
    return toBigInt(example.FetchAddRequest.decode(data).value)
  } catch {
    return null
  }
}

export function describeCounterCommand(data: Buffer): CommandText | null {
  const amount = amountOf(data)
  return amount === null ? null : { operation: 'add', summary: String(amount), timeMs: null }
}
