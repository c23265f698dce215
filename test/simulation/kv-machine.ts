import { ABSENT, type Held } from '../../src/admin/linearizability/register-model.js'
import { raftctl } from '../../src/generated/kv.js'
import { byteString } from '../../src/machines/kv/keys.js'
import type { Answer } from '../../src/machines/kv/sessions.js'
import { KvStateMachine } from '../../src/machines/kv/state-machine.js'
import type { Done } from '../../src/raft/closure.js'
import type { Executor } from '../../src/raft/environment.js'
import { Status } from '../../src/raft/errors.js'
import type { SnapshotReader, SnapshotWriter } from '../../src/raft/storage.js'
import type { LogIndex } from '../../src/raft/types.js'
import { HEADER_BYTES, type MachineListener, RegisterMachine } from './register-machine.js'

/** One try of a client's put; a retry repeats client and sequence. */
export interface KvPut {
  readonly clientId: string
  readonly sequence: number
  readonly key: string
  readonly value: string
}

/**
 * The key-value machine under the checks of the register machine: behind the header of a register write stands a real
 * command, and the real machine applies it.
 */
export class KvMachine extends RegisterMachine {
  readonly kv: KvStateMachine
  /** To the command that it applied last: what the closure that runs now is told. */
  lastAnswer: Answer | null = null

  constructor(listener: MachineListener, executor: Executor, fillerBytes = 0) {
    super(listener, fillerBytes)
    this.kv = new KvStateMachine({ executor })
  }

  protected override applied(data: Buffer, index: LogIndex): void {
    this.lastAnswer = data.length > HEADER_BYTES ? this.kv.applyCommand(data.subarray(HEADER_BYTES), index) : null
  }

  override onSnapshotSave(writer: SnapshotWriter, done: Done): void {
    // Side by side, not one after the other: both must pin the state of this moment.
    let missing = 2
    let failure = Status.OK
    const part: Done = (status) => {
      if (!status.ok) failure = status
      if (--missing === 0) done(failure)
    }
    this.kv.onSnapshotSave(writer, part)
    super.onSnapshotSave(writer, part)
  }

  override onSnapshotLoad(reader: SnapshotReader, done: Done): void {
    this.kv.onSnapshotLoad(reader, (status) => (status.ok ? super.onSnapshotLoad(reader, done) : done(status)))
  }

  override stateHash(): string {
    return this.kv.stateHash()
  }

  held(key: string): Held {
    return registerHeld(this.kv.store.get(byteString(Buffer.from(key))))
  }
}

export function registerHeld(version: { readonly value: Buffer; readonly modRevision: number; readonly deleted?: boolean } | null): Held {
  return version && !version.deleted ? { value: version.value.toString('latin1'), revision: version.modRevision } : ABSENT
}

export function encodePut({ clientId, sequence, key, value }: KvPut): Buffer {
  const command = {
    client_id: clientId,
    sequence,
    acknowledged_through: Math.max(0, sequence - 8),
    leader_time_ms: 1,
    put: { key: Buffer.from(key), value: Buffer.from(value) },
  }
  return Buffer.from(raftctl.kv.Command.encode(command).finish())
}
