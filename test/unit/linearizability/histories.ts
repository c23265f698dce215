import type { Operation } from '../../../src/admin/linearizability/operation.js'
import type { CasExpected, RegisterAnswer, RegisterCall } from '../../../src/admin/linearizability/register-model.js'

export type RegisterOperation = Operation<RegisterCall, RegisterAnswer>

interface Told {
  readonly call: RegisterCall
  readonly answer: RegisterAnswer
}

export const get = (value: string | null, revision?: number): Told => ({ call: { kind: 'get' }, answer: { found: { value, revision } } })
export const put = (value: string, answer: RegisterAnswer = {}): Told => ({ call: { kind: 'put', value }, answer })
export const del = (done: boolean): Told => ({ call: { kind: 'delete' }, answer: { done } })
export const cas = (expected: CasExpected, value: string, done: boolean, answer: RegisterAnswer = {}): Told => ({
  call: { kind: 'cas', expected, value },
  answer: { done, ...answer },
})

/** An operation of client `c` between two moments; without the second nobody knows what became of it. */
export function op(
  client: string,
  [calledAt, answeredAt]: readonly [number, number?],
  { call, answer }: Told,
  more: { readonly key?: string; readonly order?: number } = {},
): RegisterOperation {
  const { key = 'x', order = null } = more
  const unknown = answeredAt === undefined
  return { client, key, call, calledAt, answer: unknown ? null : answer, answeredAt: answeredAt ?? Infinity, order: unknown ? null : order }
}
