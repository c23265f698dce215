import { decodeCommand } from './atomic/commands.js'
import { decodeWrite } from './block/commands.js'
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
  atomic: (data) => {
    const command = decodeCommand(data)
    if (command === null) return null
    const { operation, id } = command
    const change = operation === 'get' ? '' : operation === 'exchange' ? ` → ${command.value}` : ` ${command.expected} → ${command.value}`
    return { operation, summary: `${id}${change}`, timeMs: null }
  },
  block: (data) => {
    const write = decodeWrite(data)
    return write && { operation: 'write', summary: `${write.data.length} bytes at ${write.offset}`, timeMs: null }
  },
}
