import { Status } from '../../src/raft/errors.js'
import { type Iterator, StateMachine } from '../../src/raft/raft.js'
import type { LogIndex, Term } from '../../src/raft/types.js'

/** What a write puts in the log: which register, and the number of this write, given once in a simulation. */
export interface RegisterWrite {
  readonly key: number
  readonly serial: number
}

const HEADER_BYTES = 8

/** `payload`: what follows in the entry, or how many bytes of nothing. */
export function encodeWrite({ key, serial }: RegisterWrite, payload: number | Buffer): Buffer {
  const bytes = typeof payload === 'number' ? Buffer.alloc(payload, serial & 0xff) : payload
  const data = Buffer.alloc(HEADER_BYTES + bytes.length)
  data.writeUInt32BE(key, 0)
  data.writeUInt32BE(serial, 4)
  bytes.copy(data, HEADER_BYTES)
  return data
}

export function decodeWrite(data: Buffer): RegisterWrite {
  return { key: data.readUInt32BE(0), serial: data.readUInt32BE(4) }
}

/** Told about everything a machine takes, before the proposer is. */
export type ApplyListener = (machine: RegisterMachine, index: LogIndex, term: Term, write: RegisterWrite) => void

/** The simplest state a checker can judge: numbered registers, each holding the serial of the last write applied to it. */
export class RegisterMachine extends StateMachine {
  /** Index of the last write applied; other entries do not pass through here. */
  lastWriteIndex = 0 as LogIndex
  /** Order-sensitive digest of every (index, serial) applied. */
  digest = 0
  readonly registers = new Map<number, number>()

  constructor(private readonly listener: ApplyListener) {
    super()
  }

  override onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) {
      const write = decodeWrite(iterator.data())
      this.lastWriteIndex = iterator.index()
      this.registers.set(write.key, write.serial)
      this.digest = Math.imul(this.digest ^ (iterator.index() * 31 + write.serial), 0x9e3779b1) >>> 0
      this.applied(iterator.data().subarray(HEADER_BYTES), iterator.index())
      this.listener(this, iterator.index(), iterator.term(), write)
      iterator.done()?.run(Status.OK)
    }
  }

  /** What two machines that applied the same entries have in common. */
  stateHash(): string {
    return String(this.digest)
  }

  /** What follows the header of a write; only a machine that carries another inside looks at it. */
  protected applied(_payload: Buffer, _index: LogIndex): void {}
}
