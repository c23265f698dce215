import fc from 'fast-check'
import { raftctl } from '../../../src/generated/kv.js'

// Commands as they may stand in a log.

export type Command = raftctl.kv.Command.$Properties

export const b = (text: string) => Buffer.from(text)
export const encode = (command: Command) => raftctl.kv.Command.encode(command).finish()

const key = fc.constantFrom('a', 'b', 'c', 'ab').map(b)
const value = fc.string({ maxLength: 4 }).map(b)
const operation = fc.oneof(
  fc.record({ put: fc.record({ key, value, prev_kv: fc.boolean() }) }),
  fc.record({ delete_range: fc.record({ key, range_end: fc.constantFrom('', 'z').map(b), prev_kv: fc.boolean() }) }),
  fc.record({
    txn: fc.record({
      compare: fc.array(fc.record({ key, target: fc.constant(3 as const), value }), { maxLength: 1 }),
      success: fc.array(fc.record({ request_put: fc.record({ key, value }) }), { maxLength: 2 }),
      failure: fc.array(fc.record({ request_range: fc.record({ key }) }), { maxLength: 2 }),
    }),
  }),
  fc.record({ compact: fc.record({ revision: fc.nat(20) }) }),
)

export const command = fc
  .record({ client: fc.constantFrom('', 'x', 'y'), sequence: fc.integer({ min: 1, max: 9 }), at: fc.nat(1_000_000), operation })
  .map(({ client, sequence, at, operation: op }) =>
    encode({ client_id: client, sequence: client ? sequence : 0, leader_time_ms: at, ...op }),
  )

/** Now and then something that is no command. */
export const entry = fc.oneof({ weight: 12, arbitrary: command }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 12 }) })
