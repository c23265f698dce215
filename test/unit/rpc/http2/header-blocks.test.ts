import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Flag } from '../../../../src/rpc/http2/frames.js'
import { HeaderBlocks } from '../../../../src/rpc/http2/header-blocks.js'
import { areOfOneClass } from '../../../support/hidden-class.js'
import { hex } from '../../../support/rpc.js'

const test = suite('HTTP/2 header blocks')

/** `:method: GET`, of the static table. */
const GET = hex('82')

/** What is made when V8 has seen enough of how it is made. */
function lastTwo<T>(make: () => T): [T, T] {
  for (let i = 0; i < 1000; i++) make()
  return [make(), make()]
}

test('what V8 is asked about hidden classes it answers', () => {
  assert.is(areOfOneClass({ a: 1 }, { a: 2 }), true)
  assert.is(areOfOneClass({ a: 1 }, { b: 2 }), false)
})

test('the blocks of all requests are of one hidden class', () => {
  const blocks = new HeaderBlocks(4096)
  const two = lastTwo(() => blocks.open(Flag.END_HEADERS | Flag.END_STREAM, 1, GET)!)
  assert.equal(two, Array(2).fill({ fields: [':method', 'GET'], tooLarge: false, endsStream: true }))
  assert.is(areOfOneClass(...two), true)
})

test('a block in two frames is read when it is whole', () => {
  const blocks = new HeaderBlocks(4096)
  assert.is(blocks.open(0, 1, GET), null)
  assert.is(blocks.isOpen, true)
  assert.equal(blocks.continue(Flag.END_HEADERS, 1, GET), {
    fields: [':method', 'GET', ':method', 'GET'],
    tooLarge: false,
    endsStream: false,
  })
  assert.is(blocks.isOpen, false)
})

test.run()
