// The state machine of both examples, and of the test beside it. A program of your own imports from 'raftctl'.
import { type Done, type File, type Iterator, type SnapshotReader, type SnapshotWriter, StateMachine, Status } from '../src/index.js'

/** A task that adds so much. */
export function encodeAmount(amount: bigint): Buffer {
  const data = Buffer.alloc(8)
  data.writeBigInt64BE(amount)
  return data
}

export class Counter extends StateMachine {
  value = 0n

  onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) {
      this.value += iterator.data().readBigInt64BE()
      iterator.done()?.run(Status.OK)
    }
  }

  override onSnapshotSave(writer: SnapshotWriter, done: Done): void {
    // Pinned down before this returns: tasks go on being applied while the file is written.
    const bytes = Buffer.from(`${this.value}`)
    writer.fileSystem.open(`${writer.path}/value`, { write: true, create: true }, (opened, file) => {
      if (!opened.ok) return done(opened)
      file!.write([bytes], 0, (written) =>
        file!.close((closed) => {
          if (!written.ok || !closed.ok) return done(written.ok ? closed : written)
          done(writer.addFile('value'))
        }),
      )
    })
  }

  override onSnapshotLoad(reader: SnapshotReader, done: Done): void {
    const load = (file: File) =>
      file.read(0, 64, (status, bytes) =>
        file.close(() => {
          if (status.ok) this.value = BigInt(bytes!.toString())
          done(status)
        }),
      )
    reader.fileSystem.open(`${reader.path}/value`, {}, (opened, file) => (opened.ok ? load(file!) : done(opened)))
  }
}
