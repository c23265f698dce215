import type { RegisterAnswer, RegisterCall } from '../../src/admin/linearizability/register-model.js'
import { type mvccpb, raftctl } from '../../src/generated/kv.js'
import { registerHeld } from './kv-machine.js'

/** Then another client goes on: one whose first command was lost can do nothing more. */
const COMMANDS_PER_CLIENT = 50
/** Sessions that are open side by side, their commands one after the other in turn. */
const CLIENTS_AT_ONCE = 4
/** A repetition never comes later than this many commands of its client after the first try. */
const REPEATED_WITHIN = 8

/** What the command of that number asks for: always the same, so that a script can repeat it. */
export interface KvCommand {
  readonly key: string
  readonly call: Exclude<RegisterCall, { kind: 'get' }>
  readonly payload: Buffer
}

export function kvKey(key: number): string {
  return `k${key}`
}

export function kvCommand(sequence: number, keys: number): KvCommand {
  const key = kvKey(sequence % keys)
  const call = callOf(sequence, keys)
  const generation = Math.floor((sequence - 1) / (COMMANDS_PER_CLIENT * CLIENTS_AT_ONCE))
  const inGeneration = (sequence - 1) % (COMMANDS_PER_CLIENT * CLIENTS_AT_ONCE)
  const ofClient = Math.floor(inGeneration / CLIENTS_AT_ONCE) + 1
  const stamp = {
    client_id: `client ${generation}.${inGeneration % CLIENTS_AT_ONCE}`,
    sequence: ofClient,
    acknowledged_through: Math.max(0, ofClient - REPEATED_WITHIN),
    leader_time_ms: 1,
  }
  return { key, call, payload: Buffer.from(raftctl.kv.Command.encode({ ...stamp, ...operationOf(key, call) }).finish()) }
}

function callOf(sequence: number, keys: number): KvCommand['call'] {
  const value = String(sequence)
  const kind = Math.imul(sequence, 0x9e3779b1) >>> 28
  if (kind < 8) return { kind: 'put', value }
  if (kind < 10) return { kind: 'delete' }
  // What the command before wrote to that key, if it wrote something and nobody came between.
  const before = String(sequence - keys)
  return { kind: 'cas', expected: kind < 12 ? { absent: true } : { value: before }, value }
}

function operationOf(key: string, call: KvCommand['call']): raftctl.kv.Command.$Properties {
  const name = Buffer.from(key)
  if (call.kind === 'put') return { put: { key: name, value: Buffer.from(call.value), prev_kv: true } }
  if (call.kind === 'delete') return { delete_range: { key: name, prev_kv: true } }
  const { expected, value } = call
  const compare =
    'value' in expected ? { key: name, target: 3, value: Buffer.from(expected.value) } : { key: name, target: 1, create_revision: 0 }
  return {
    txn: {
      compare: [compare],
      success: [{ request_put: { key: name, value: Buffer.from(value) } }],
      failure: [{ request_range: { key: name } }],
    },
  }
}

/** What the client learned; null when the machine refused the command. */
export function toldBy(answer: raftctl.kv.Answer.$Properties): RegisterAnswer | null {
  if (answer.put) return { found: held(answer.put.prev_kv), revision: Number(answer.put.header!.revision) }
  if (answer.delete_range) return { done: Number(answer.delete_range.deleted) > 0, found: held(answer.delete_range.prev_kvs?.[0]) }
  if (!answer.txn) return null
  if (answer.txn.succeeded) return { done: true, revision: Number(answer.txn.header!.revision) }
  return { done: false, found: held(answer.txn.responses?.[0]?.response_range?.kvs?.[0]) }
}

function held(found: mvccpb.KeyValue.$Properties | null | undefined) {
  return registerHeld(found ? { value: Buffer.from(found.value!), modRevision: Number(found.mod_revision) } : null)
}
