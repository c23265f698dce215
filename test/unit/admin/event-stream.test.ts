import { EventEmitter } from 'node:events'
import { type ClientReadableStream, Metadata } from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { NodeStream } from '../../../src/admin/events.js'
import type { raftctl } from '../../../src/generated/raftctl.js'
import { MetadataKey } from '../../../src/rpc/identity.js'

/** A call as the stream sees it; the test is the node. */
class FakeCall extends EventEmitter {
  cancelled = false

  constructor(readonly sinceSeq: number) {
    super()
  }

  cancel(): void {
    this.cancelled = true
  }

  greet(bootId: string): void {
    const metadata = new Metadata()
    metadata.set(MetadataKey.bootId, bootId)
    this.emit('metadata', metadata)
  }

  tell(seq: number): void {
    this.emit('data', { seq })
  }
}

function bench() {
  const calls: FakeCall[] = []
  const told: number[] = []
  const states: boolean[] = []
  const stream = new NodeStream({
    call: (sinceSeq) => {
      const call = new FakeCall(sinceSeq)
      calls.push(call)
      return call as unknown as ClientReadableStream<raftctl.v1.Event>
    },
    onEvent: ({ seq }) => told.push(Number(seq)),
    onState: (up) => states.push(up),
  })
  return { calls, told, states, stream }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

test('a stream that broke goes on from where it broke', async () => {
  const { calls, told, states, stream } = bench()
  calls[0]!.greet('boot 1')
  for (const seq of [1, 2, 3]) calls[0]!.tell(seq)
  calls[0]!.emit('error', new Error('gone'))
  await until(() => calls.length === 2)
  assert.is(calls[1]!.sinceSeq, 3)
  calls[1]!.greet('boot 1')
  calls[1]!.tell(4)
  assert.equal(
    [told, states],
    [
      [1, 2, 3, 4],
      [false, true],
    ],
  )
  stream.close()
})

test('a process that was started anew is asked for everything: it counts from 1 again', async () => {
  const { calls, told, stream } = bench()
  calls[0]!.greet('boot 1')
  for (const seq of [1, 2, 3]) calls[0]!.tell(seq)
  calls[0]!.emit('error', new Error('gone'))
  await until(() => calls.length === 2)
  calls[1]!.greet('boot 2')
  assert.equal([calls.length, calls[1]!.cancelled, calls[2]!.sinceSeq], [3, true, 0])
  calls[1]!.tell(5)
  calls[2]!.greet('boot 2')
  for (const seq of [1, 2]) calls[2]!.tell(seq)
  assert.equal(told, [1, 2, 3, 1, 2])
  stream.close()
  assert.ok(calls[2]!.cancelled)
})

test.run()
