import { EventEmitter } from 'node:events'
import type * as net from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { TurnWriter } from '../../../src/rpc/turn-writer.js'

/** What reaches the socket, call by call. */
class Socket extends EventEmitter {
  writable = true
  writableLength = 0
  readonly calls: (Uint8Array | string)[] = []

  write(bytes: Uint8Array): boolean {
    this.calls.push(bytes)
    return true
  }

  cork(): void {
    this.calls.push('cork')
  }

  uncork(): void {
    this.calls.push('uncork')
  }

  end(): void {
    this.calls.push('end')
  }
}

function opened(): { socket: Socket; writer: TurnWriter } {
  const socket = new Socket()
  return { socket, writer: new TurnWriter(socket as unknown as net.Socket) }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const text = ({ calls }: Socket) => calls.map((call) => (typeof call === 'string' ? call : Buffer.from(call).toString('latin1')))

test('what is written in one turn leaves in one write, in order, when the turn is over', async () => {
  const { socket, writer } = opened()
  writer.write(Buffer.from('ab'), Buffer.alloc(0))
  writer.write(Buffer.from('c'))
  assert.equal([socket.calls.length, writer.unsentBytes], [0, 3])
  await turn()
  assert.equal([text(socket), writer.unsentBytes], [['abc'], 0])
  writer.write(Buffer.from('d'))
  await turn()
  assert.equal(text(socket), ['abc', 'd'])
})

test('large pieces are not copied', async () => {
  const { socket, writer } = opened()
  const large = Buffer.alloc(17 * 1024, 'x')
  writer.write(Buffer.from('ab'), large)
  await turn()
  assert.equal([socket.calls[0], socket.calls[2] === large, socket.calls[3]], ['cork', true, 'uncork'])
})

test('what is put into reserved room leaves in order with what is written, whatever the blocks it lies in', async () => {
  const { socket, writer } = opened()
  const put = (letters: string) => {
    const at = writer.reserve(letters.length)
    writer.block.write(letters, at)
  }
  put('ab')
  put('c')
  writer.write(Buffer.from('de'))
  put('f')
  assert.is(writer.unsentBytes, 6)
  await turn()
  assert.equal([text(socket), writer.unsentBytes], [['abcdef'], 0])

  // Longer than a block, and than what is left of one.
  const long = 'x'.repeat(5000)
  for (const letters of ['g', long, 'h'.repeat(400), 'i'.repeat(400)]) put(letters)
  await turn()
  assert.equal(text(socket)[1], `g${long}${'h'.repeat(400)}${'i'.repeat(400)}`)
  // What was sent stays as it is.
  put('j')
  writer.flush()
  put('k')
  await turn()
  assert.equal(text(socket).slice(2), ['j', 'k'])
})

test('blocks grow with what leaves in a turn, up to a bound, and what is longer than that is not kept', async () => {
  const { writer } = opened()
  const sizes: number[] = []
  for (const bytes of [10, 600, 900, 3000, 9000, 12_000]) {
    writer.reserve(bytes)
    sizes.push(writer.block.length)
    writer.flush()
    await turn()
  }
  assert.equal(sizes, [512, 600, 1200, 3000, 9000, 16 * 1024])
  writer.reserve(60_000)
  assert.is(writer.block.length, 60_000)
  await turn()
  assert.is(writer.block.length, 0)
})

test('closing sends what was written first, and a closed socket is sent nothing', async () => {
  const { socket, writer } = opened()
  writer.write(Buffer.from('ab'))
  writer.end()
  await turn()
  assert.equal(text(socket), ['ab', 'end'])

  const closed = opened()
  closed.writer.write(Buffer.from('ab'))
  closed.socket.writable = false
  closed.writer.write(Buffer.from('c'))
  closed.writer.reserve(1)
  await turn()
  closed.writer.end()
  assert.equal([closed.socket.calls, closed.writer.unsentBytes], [[], 0])
})

test.run()
