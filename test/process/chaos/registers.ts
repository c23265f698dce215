import { setTimeout as pause } from 'node:timers/promises'
import { HistoryRecorder, type Operation } from '../../../src/admin/linearizability/operation.js'
import {
  ABSENT,
  type CasExpected,
  type Held,
  type RegisterAnswer,
  type RegisterCall,
} from '../../../src/admin/linearizability/register-model.js'
import { type KvClient, KvClientError, type KvExpectation, type KvItem } from '../../../src/machines/kv/client.js'
import type { SimRandom } from '../../../src/testing/sim-random.js'
import type { ChaosCounts } from './counts.js'

const KEYS_AT_ONCE = 6
/** Then another key takes its place: what one key went through stays short enough to be judged. */
const OPERATIONS_PER_KEY = 200
const PAUSE_MEAN_MS = 20

interface Register {
  readonly key: string
  readonly history: HistoryRecorder<RegisterCall, RegisterAnswer>
  /** What somebody saw last: a good guess for a compare-and-set. */
  seen: string | null
  begun: number
}

/** Clients that read and write a few keys all at once, and what each of them saw. */
export class RegisterLoad {
  readonly registers: Register[] = []
  private readonly active: Register[] = []
  private running = true
  private readonly done: Promise<unknown>
  private values = 0

  constructor(
    private readonly clients: readonly KvClient[],
    private readonly random: SimRandom,
    private readonly counts: ChaosCounts,
  ) {
    for (let i = 0; i < KEYS_AT_ONCE; i++) this.active.push(this.register())
    this.done = Promise.all(clients.map((client, at) => this.work(client, `c${at + 1}`)))
  }

  /** Settles when the last call is answered, or given up. */
  async stop(): Promise<void> {
    this.running = false
    await this.done
    for (const client of this.clients) client.close()
  }

  /** Reads every key once more: what was acknowledged must be there. */
  async readAll(client: KvClient): Promise<void> {
    for (const register of this.registers) await this.call(client, 'end', register, { kind: 'get' }, true)
  }

  operations(): Operation<RegisterCall, RegisterAnswer>[] {
    return this.registers.flatMap(({ history }) => history.operations())
  }

  private register(): Register {
    const history = new HistoryRecorder<RegisterCall, RegisterAnswer>(() => performance.now())
    const register = { key: `register/${this.registers.length + 1}`, history, seen: null, begun: 0 }
    this.registers.push(register)
    return register
  }

  private async work(client: KvClient, name: string): Promise<void> {
    while (this.running) {
      const at = this.random.below(this.active.length)
      const register = this.active[at]!
      if (++register.begun >= OPERATIONS_PER_KEY) this.active[at] = this.register()
      await this.call(client, name, register, this.draw(register, name))
      await pause(this.random.exponential(PAUSE_MEAN_MS))
    }
  }

  private draw({ seen }: Register, name: string): RegisterCall {
    const value = `${name}-${++this.values}`
    const kind = this.random.unit()
    if (kind < 0.4) return { kind: 'get' }
    if (kind < 0.65) return { kind: 'put', value }
    if (kind < 0.95) return { kind: 'cas', expected: seen === null ? { absent: true } : { value: seen }, value }
    return { kind: 'delete' }
  }

  /** `insist`: a failure is thrown, not a fate. */
  private async call(client: KvClient, name: string, register: Register, call: RegisterCall, insist = false): Promise<void> {
    const { counts } = this
    counts.ops++
    const pending = register.history.begin(name, register.key, call)
    try {
      const { answer, order } = await ask(client, Buffer.from(register.key), call)
      pending.answered(answer, order)
      register.seen = call.kind === 'get' ? answer.found!.value : 'value' in call && answer.done !== false ? call.value : register.seen
      if (call.kind === 'get') counts.reads++
      else counts.acked++
    } catch (error) {
      if (insist || !(error instanceof KvClientError)) throw error
      if (call.kind === 'get' || error.applied === 'no') pending.failed()
      if (call.kind !== 'get' && error.applied !== 'no') counts.unknown++
      else counts.failed++
    }
  }
}

interface Told {
  readonly answer: RegisterAnswer
  readonly order: number
}

/** A revision tells where in the history its write stands; who only looked at it comes after. */
const wrote = (revision: number): number => 2 * revision
const looked = (revision: number): number => 2 * revision + 1

async function ask(client: KvClient, key: Buffer, call: RegisterCall): Promise<Told> {
  switch (call.kind) {
    case 'get': {
      const { item, revision } = await client.get(key)
      return { answer: { found: heldOf(item) }, order: looked(revision) }
    }
    case 'put': {
      const { revision, previous } = await client.put(key, Buffer.from(call.value))
      return { answer: { found: heldOf(previous), revision }, order: wrote(revision) }
    }
    case 'delete': {
      const { deleted, revision } = await client.del(key)
      return { answer: { done: deleted > 0 }, order: deleted > 0 ? wrote(revision) : looked(revision) }
    }
    case 'cas': {
      const { swapped, current, revision } = await client.cas(key, expectationOf(call.expected), Buffer.from(call.value))
      if (swapped) return { answer: { done: true, revision }, order: wrote(revision) }
      return { answer: { done: false, found: heldOf(current) }, order: looked(revision) }
    }
  }
}

function expectationOf(expected: CasExpected): KvExpectation {
  if ('value' in expected) return { value: Buffer.from(expected.value) }
  return 'revision' in expected ? { modRevision: expected.revision } : expected
}

function heldOf(item: KvItem | null): Held {
  return item ? { value: item.value.toString(), revision: item.modRevision } : ABSENT
}
