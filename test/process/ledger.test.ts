import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readBack } from '../../src/admin/chaos/verification.js'
import type { BackgroundWriter } from '../../src/admin/chaos/writer.js'
import type { KvClient } from '../../src/machines/kv/client.js'
import { KvClientError } from '../../src/machines/kv/client-error.js'
import { SimRandom } from '../../src/testing/sim-random.js'
import { ChaosCounts } from './chaos/counts.js'
import { Ledger } from './chaos/ledger.js'
import { eventually } from './node-cluster.js'

type Fault = 'none' | 'acknowledges and forgets' | 'keeps another value' | 'keeps what it refuses' | 'does not say'

/** What a member, or somebody on the way to it, may do to the n-th write. */
class Store {
  private readonly kept = new Map<string, string>()
  private writes = 0

  constructor(private readonly faultOf: (write: number) => Fault) {}

  readonly client = {
    put: async (key: Buffer, value: Buffer) => {
      const fault = this.faultOf(++this.writes)
      const text = fault === 'keeps another value' ? `${value}!` : String(value)
      if (fault !== 'acknowledges and forgets') this.kept.set(String(key), text)
      if (fault === 'keeps what it refuses') throw new KvClientError('E_BUSY', 'refused', { applied: 'no' })
      if (fault === 'does not say') throw new KvClientError('E_OUTCOME_UNKNOWN', 'who knows', { applied: 'unknown' })
    },
    list: async (prefix: Buffer, { limit, after }: { limit: number; after?: Buffer }) => {
      const keys = [...this.kept.keys()].filter((key) => key.startsWith(String(prefix)) && (!after || key > String(after))).sort()
      const items = keys.slice(0, limit).map((key) => ({ key: Buffer.from(key), value: Buffer.from(this.kept.get(key)!) }))
      return { items, more: keys.length > limit }
    },
    close: () => {},
  } as unknown as KvClient
}

/** Ten writes of one client, of which the fifth meets `fault`; what the ledger says of it. */
async function judged(fault: Fault): Promise<{ problems: string[]; counts: ChaosCounts }> {
  const counts = new ChaosCounts()
  const { client } = new Store((write) => (write === 5 ? fault : 'none'))
  const ledger = new Ledger([client], new SimRandom(1).fork('ledger'), counts)
  await eventually('ten writes', async () => counts.ops >= 10)
  await ledger.stop()
  return { problems: await ledger.problems(client), counts }
}

test('the ledger of a sound store has nothing to say, also of a write whose outcome nobody knows', async () => {
  for (const fault of ['none', 'does not say'] as const) {
    const { problems, counts } = await judged(fault)
    assert.equal([problems, counts.lost, counts.ghosts], [[], 0, 0], fault)
    assert.is(counts.unknown, fault === 'none' ? 0 : 1)
  }
})

test('a write that was acknowledged and not kept, or kept as another, is lost', async () => {
  for (const [fault, there] of [
    ['acknowledges and forgets', 'nothing'],
    ['keeps another value', 'ledger/0/5'],
  ] as const) {
    const { problems, counts } = await judged(fault)
    assert.equal([problems.length, counts.lost, counts.ghosts], [1, 1, 0], fault)
    assert.match(problems[0]!, new RegExp(`^LOST ledger/0/5: .* was acknowledged, ${there}`))
  }
})

test('a write that was refused as not applied, and is there, is a ghost', async () => {
  const { problems, counts } = await judged('keeps what it refuses')
  assert.equal([problems, counts.lost, counts.ghosts], [['GHOST ledger/0/5: refused as not applied, and it is there'], 0, 1])
})

test('what `chaos` reads back: what is lost, what is another, and what was refused and is there', async () => {
  const { client } = new Store((write) => (['none', 'acknowledges and forgets', 'keeps another value'] as const)[write % 3]!)
  const prefix = 'raftctl-chaos/x/'
  const acknowledged = new Map(Array.from({ length: 6 }, (_, i) => [`${prefix}${i}`, `v${i}`]))
  for (const [key, value] of acknowledged) await client.put(Buffer.from(key), Buffer.from(value))
  await client.put(Buffer.from(`${prefix}r`), Buffer.from('x'))
  const writer = { prefix, acknowledged, refused: new Set([`${prefix}3`, `${prefix}never`]) } as unknown as BackgroundWriter
  const found = await readBack(writer, client)
  assert.is(found.verified, 2)
  assert.equal(
    found.lost.map(({ key, found: value }) => [key.slice(prefix.length), value]),
    [
      ['0', null],
      ['1', 'v1!'],
      ['3', null],
      ['4', 'v4!'],
    ],
  )
  assert.equal(found.refusedButThere, [])
  const ghost = { prefix, acknowledged, refused: new Set([`${prefix}1`]) } as unknown as BackgroundWriter
  assert.equal((await readBack(ghost, client)).refusedButThere, [`${prefix}1`])
})

test.run()
