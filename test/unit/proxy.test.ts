// What the fault-injecting proxy of the process tests does, so that a cut there is one.
import net from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LinkProxy } from '../support/proxy.js'

/** Ends of one connection through a proxy, and what each received. */
class Line {
  readonly received: { near: string; far: string } = { near: '', far: '' }
  private readonly waiters: (() => void)[] = []

  private constructor(
    readonly proxy: LinkProxy,
    readonly near: net.Socket,
    readonly far: net.Socket,
    private readonly server: net.Server,
  ) {
    for (const end of ['near', 'far'] as const) {
      this[end].on('data', (chunk) => {
        this.received[end] += chunk
        for (const wake of this.waiters.splice(0)) wake()
      })
      this[end].on('error', () => {})
    }
  }

  static async open(): Promise<Line> {
    const server = net.createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const proxy = await LinkProxy.to({ host: '127.0.0.1', port: (server.address() as net.AddressInfo).port })
    const accepted = new Promise<net.Socket>((resolve) => server.once('connection', resolve))
    const near = connect(proxy)
    return new Line(proxy, near, await accepted, server)
  }

  async until(end: 'near' | 'far', text: string): Promise<void> {
    while (this.received[end] !== text) await new Promise<void>((resolve) => this.waiters.push(resolve))
  }

  close(): void {
    this.proxy.close()
    this.server.close()
    this.near.destroy()
    this.far.destroy()
  }
}

function connect(proxy: LinkProxy): net.Socket {
  return net.connect(Number(proxy.address.split(':')[1]), '127.0.0.1')
}

const closed = (socket: net.Socket): Promise<void> => new Promise((resolve) => socket.once('close', () => resolve()))

let line: Line
test.before.each(async () => {
  line = await Line.open()
})
test.after.each(() => line.close())

test('what is whole passes both ways', async () => {
  line.near.write('ask')
  await line.until('far', 'ask')
  line.far.write('answer')
  await line.until('near', 'answer')
})

test('a way that is cut lets nothing pass while the other one does, and passes everything late when it resumes', async () => {
  line.proxy.cut('there')
  line.near.write('lost?')
  line.far.write('one')
  await line.until('near', 'one')
  line.far.write(' two')
  await line.until('near', 'one two')
  assert.is(line.received.far, '')
  line.proxy.heal('resume')
  await line.until('far', 'lost?')
})

test('likewise the way back', async () => {
  line.proxy.cut('back')
  line.far.write('lost?')
  line.near.write('asks')
  await line.until('far', 'asks')
  assert.is(line.received.near, '')
  line.proxy.heal('resume')
  await line.until('near', 'lost?')
})

test('a heal that resets ends connections, and new ones pass', async () => {
  line.proxy.cut()
  line.near.write('lost')
  const ends = [closed(line.near), closed(line.far)]
  line.proxy.heal('reset')
  await Promise.all(ends)
  assert.is(line.received.far, '')
})

test('a connection that is made while it is cut is not answered, and ends when it heals', async () => {
  line.proxy.cut('back')
  const other = connect(line.proxy)
  other.on('error', () => {})
  await new Promise((resolve) => other.once('connect', resolve))
  const end = closed(other)
  other.write('hello')
  line.proxy.heal('resume')
  await end
  assert.is(line.received.far, '')
})

test('what is slow arrives late and in order', async () => {
  line.proxy.delay(30, 20)
  const sentAt = performance.now()
  for (let i = 0; i < 20; i++) line.near.write(`${i},`)
  const all = Array.from({ length: 20 }, (_, i) => `${i},`).join('')
  await line.until('far', all)
  assert.ok(performance.now() - sentAt >= 29)
})

test('what is sent after a delay ended does not overtake what waits', async () => {
  line.proxy.delay(40)
  line.near.write('first,')
  line.far.write('also late')
  await line.until('near', 'also late')
  line.near.write('second,')
  line.proxy.delay(0)
  line.near.write('third,')
  await line.until('far', 'first,second,third,')
})

test.run()
