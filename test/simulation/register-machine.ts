import type { Done } from '../../src/raft/closure.js'
import type { FileSystem } from '../../src/raft/environment.js'
import { ErrorCode, Status } from '../../src/raft/errors.js'
import { type Iterator, StateMachine } from '../../src/raft/raft.js'
import type { SnapshotReader, SnapshotWriter } from '../../src/raft/storage.js'
import type { LogIndex, Term } from '../../src/raft/types.js'
import { checksum } from '../../src/storage/checksum.js'
import { readWholeFile } from '../../src/storage/protobuf-file.js'
import { inSequence, type Step } from '../../src/storage/steps.js'
import { decodeState, encodeState, fillerOf, type RegisterState } from './register-state.js'

/** What a write puts in the log: which register, and the number of this write, given once in a simulation. */
export interface RegisterWrite {
  readonly key: number
  readonly serial: number
}

/** Of a write. */
export const HEADER_BYTES = 8
/** The files of a snapshot: the state, and a filler in a directory of its own that makes it as long as real ones are. */
export const STATE_FILE = 'state'
export const FILLER_FILE = 'filler/bytes'
/** A snapshot is written in pieces, so that a crash can come between two. */
const WRITE_BYTES = 4096

/** `payload`: what follows in the entry, or how many bytes of nothing. */
export function encodeWrite({ key, serial }: RegisterWrite, payload: number | Buffer): Buffer {
  const data = Buffer.allocUnsafe(HEADER_BYTES + (typeof payload === 'number' ? payload : payload.length))
  data.writeUInt32BE(key, 0)
  data.writeUInt32BE(serial, 4)
  if (typeof payload === 'number') data.fill(serial & 0xff, HEADER_BYTES)
  else data.set(payload, HEADER_BYTES)
  return data
}

export function decodeWrite(data: Buffer): RegisterWrite {
  return { key: data.readUInt32BE(0), serial: data.readUInt32BE(4) }
}

/** Order-sensitive digest of the writes applied up to and with this one. */
export function digestAfter(digest: number, index: number, serial: number): number {
  return Math.imul(digest ^ (index * 31 + serial), 0x9e3779b1) >>> 0
}

export interface MachineListener {
  /** A machine took a write; told before the proposer is. */
  applied(machine: RegisterMachine, index: LogIndex, term: Term, write: RegisterWrite): void
  /** A machine replaced its state by that of a snapshot which stands for everything up to `upTo`. */
  loaded(machine: RegisterMachine, upTo: LogIndex): void
}

/** The simplest state a checker can judge: numbered registers, each holding the serial of the last write applied to it. */
export class RegisterMachine extends StateMachine implements RegisterState {
  /** Index of the last write applied; other entries do not pass through here. */
  lastWriteIndex = 0 as LogIndex
  digest = 0
  registers: Map<number, number> = new Map()

  constructor(
    readonly listener: MachineListener,
    /** How many bytes a snapshot holds besides the state. */
    private readonly fillerBytes = 0,
  ) {
    super()
  }

  override onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) {
      const data = iterator.data()
      const index = iterator.index()
      const write = decodeWrite(data)
      this.lastWriteIndex = index
      this.registers.set(write.key, write.serial)
      this.digest = digestAfter(this.digest, index, write.serial)
      this.applied(data, index)
      this.listener.applied(this, index, iterator.term(), write)
      iterator.done()?.run(Status.OK)
    }
  }

  override onSnapshotSave(writer: SnapshotWriter, done: Done): void {
    const state = encodeState(this)
    const filler = fillerOf(this.digest, this.fillerBytes)
    const { fileSystem, path } = writer
    inSequence(
      [
        (next) => writeFile(fileSystem, `${path}/${STATE_FILE}`, state, next),
        (next) => fileSystem.mkdir(`${path}/filler`, next),
        (next) => writeFile(fileSystem, `${path}/${FILLER_FILE}`, filler, next),
        (next) => next(listed(writer, STATE_FILE, state)),
        (next) => next(listed(writer, FILLER_FILE, filler)),
      ],
      done,
    )
  }

  override onSnapshotLoad(reader: SnapshotReader, done: Done): void {
    const { fileSystem, path } = reader
    readWholeFile(fileSystem, `${path}/${STATE_FILE}`, (status, bytes) => {
      if (!status.ok) return done(status)
      const state = decodeState(bytes!)
      if (!state) return done(Status.error(ErrorCode.ECORRUPT, 'the state of a snapshot is damaged'))
      readWholeFile(fileSystem, `${path}/${FILLER_FILE}`, (found, filler) => {
        if (!found.ok) return done(found)
        if (!fillerOf(state.digest, filler!.length).equals(filler!))
          return done(Status.error(ErrorCode.ECORRUPT, 'the filler of a snapshot belongs to another state'))
        this.lastWriteIndex = state.lastWriteIndex as LogIndex
        this.digest = state.digest
        this.registers = new Map(state.registers)
        this.listener.loaded(this, reader.meta.lastIncluded.index)
        done(Status.OK)
      })
    })
  }

  /** What two machines that applied the same entries have in common. */
  stateHash(): string {
    return String(this.digest)
  }

  /** Another machine inside takes what follows the header of the write. */
  protected applied(_data: Buffer, _index: LogIndex): void {}
}

/** Leaves durability to whoever makes the snapshot visible. */
function writeFile(fileSystem: FileSystem, path: string, bytes: Buffer, done: Done): void {
  fileSystem.open(path, { write: true, create: true, truncate: true }, (opened, file) => {
    if (!opened.ok) return done(opened)
    const steps: Step[] = []
    for (let at = 0; at < bytes.length; at += WRITE_BYTES)
      steps.push((next) => file!.write([bytes.subarray(at, at + WRITE_BYTES)], at, next))
    inSequence(steps, (written) => file!.close((closed) => done(written.ok ? closed : written)))
  })
}

function listed(writer: SnapshotWriter, name: string, bytes: Buffer): Status {
  return writer.addFile(name, { checksum: `crc32c:${checksum.crc32c(bytes).toString(16).padStart(8, '0')}` })
}
