import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { TailOrder } from '../../../src/admin/log-tail.js'

/** Feeds `index:term`, with the commit index of the moment; answers what is shown, replaced terms behind a bang. */
function feed(order: TailOrder, commitIndex: number, ...entries: string[]): string[] {
  return entries.flatMap((text) => {
    const [index, term] = text.split(':').map(Number) as [number, number]
    const taken = order.take({ index, term, commitIndex }, 'n1')
    return taken === 'seen' ? [] : [taken === null ? text : `${text}!${taken}`]
  })
}

function started(options: { from: number; uncommitted: boolean }): TailOrder {
  const order = new TailOrder(options.uncommitted)
  order.begin(options.from)
  order.connected()
  return order
}

test('committed entries come once and in order, from whoever sends them', () => {
  const order = started({ from: 5, uncommitted: false })
  assert.equal(feed(order, 6, '5:1', '6:1'), ['5:1', '6:1'])
  assert.is(order.next, 7)
  order.connected()
  assert.equal(feed(order, 9, '7:2', '8:2'), ['7:2', '8:2'])
})

test('a gap and a repeat of committed entries are errors, never passed over', () => {
  assert.throws(() => feed(started({ from: 5, uncommitted: false }), 9, '6:1'), /where 5 comes next/)
  assert.throws(() => feed(started({ from: 5, uncommitted: false }), 9, '5:1', '7:1'), /where 6 comes next/)
  assert.throws(() => feed(started({ from: 5, uncommitted: false }), 9, '5:1', '5:1'), /where 6 comes next/)
  assert.throws(() => feed(started({ from: 5, uncommitted: true }), 4, '5:1', '7:1'), /where 6 comes next/)
})

test('what is not committed is read again from another member, and shown again only where it was replaced', () => {
  const order = started({ from: 5, uncommitted: true })
  assert.equal(feed(order, 5, '5:1', '6:1', '7:1'), ['5:1', '6:1', '7:1'])
  assert.is(order.next, 6)
  order.connected()
  assert.equal(feed(order, 7, '6:1', '7:2', '8:2'), ['7:2!1', '8:2'])
})

test('an end that is replaced while it is followed comes again in its new term, everything behind it too', () => {
  const order = started({ from: 5, uncommitted: true })
  feed(order, 5, '5:1', '6:1', '7:1', '8:1')
  assert.equal(feed(order, 5, '6:2', '7:2'), ['6:2!1', '7:2!1'])
  assert.equal(feed(order, 8, '8:3'), ['8:3!1'])
  assert.is(order.next, 9)
  assert.equal(feed(order, 8, '9:3'), ['9:3'])
})

test('a member that knows less of what is committed repeats nothing', () => {
  const order = started({ from: 5, uncommitted: true })
  feed(order, 6, '5:1', '6:1', '7:1')
  order.connected()
  assert.is(order.next, 7)
  assert.equal(feed(order, 4, '7:1', '8:1'), ['8:1'])
})

test.run()
