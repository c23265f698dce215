import { describeAtomicCommand } from './atomic/commands.js'
import { describeBlockCommand } from './block/commands.js'
import { describeCounterCommand } from './counter/state-machine.js'
import { describeCommand } from './kv/describe.js'
import type { CommandText, MachineKind } from './machine.js'

/** Says what an entry of a machine's log does; null for bytes that are none of its commands. Never throws. */
export function describerOf(kind: MachineKind): (data: Buffer) => CommandText | null {
  return DESCRIBERS[kind]
}

const DESCRIBERS: Readonly<Record<MachineKind, (data: Buffer) => CommandText | null>> = {
  kv: (data) => {
    const { type, summary, timeMs } = describeCommand(data)
    return { operation: type, summary, timeMs }
  },
  counter: describeCounterCommand,
  atomic: describeAtomicCommand,
  block: describeBlockCommand,
}
