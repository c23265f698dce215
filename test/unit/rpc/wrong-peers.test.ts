import net from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { PeerHandler, PeerMethod } from '../../../src/raft/messages.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { GOLDEN } from '../../support/golden-messages.js'
import { LinkProxy } from '../../support/proxy.js'
import {
  ACCEPTED,
  answersHello,
  CLUSTER,
  callHello,
  closeAll,
  closers,
  frame,
  GROUP,
  openStream,
  overEach,
  startClient,
  startPeer,
} from '../../support/transport-bench.js'

test.after.each(closeAll)

const METHODS = Object.keys(GOLDEN) as PeerMethod[]
type Client = ReturnType<typeof startClient>

/** One call of every kind to `to`, each with how often it was answered. */
async function callAll(client: Client, to: PeerId, timeoutMs: number, groupId = GROUP): Promise<{ status: Status; answers: number }[]> {
  const calls = METHODS.map((method) => {
    const call = { status: Status.OK, answers: 0 }
    const request = { ...GOLDEN[method].request, groupId, serverId: client.self, peerId: to } as never
    return new Promise<typeof call>((resolve) =>
      client.transport.call(to, method, request, timeoutMs, (status) => {
        call.status = status
        call.answers++
        resolve(call)
      }),
    )
  })
  return Promise.all(calls)
}

/** A node that counts what reaches it, and would answer all of it. */
function curious(reached: string[]): Partial<PeerHandler> {
  const names = { hello: 'handleHello', preVote: 'handlePreVote', requestVote: 'handleRequestVote', timeoutNow: 'handleTimeoutNow' }
  const more = { installSnapshot: 'handleInstallSnapshot', getFile: 'handleGetFile', settle: 'handleSettle' }
  const all: Record<PeerMethod, string> = { ...names, ...more, readIndex: 'handleReadIndex', release: 'handleRelease' }
  const answering = METHODS.map((method) => [
    all[method],
    (_request: unknown, answer: (status: Status, response: unknown) => void) => {
      reached.push(method)
      answer(Status.OK, GOLDEN[method].response)
    },
  ])
  return {
    ...Object.fromEntries(answering),
    handleAppendEntries: (_request, answer) => {
      reached.push('append')
      answer(Status.OK, ACCEPTED)
    },
  }
}

overEach(test, 'E14 nothing that a member of another cluster says reaches the node at its old address, whatever it says', async () => {
  const reached: string[] = []
  const peer = await startPeer(curious(reached))
  const stranger = startClient('bb'.repeat(16))
  for (const { status, answers } of await callAll(stranger, peer.peerId, 2000)) {
    assert.not(status.ok)
    assert.match(status.message, /belongs to cluster aa/)
    assert.is(answers, 1)
  }
  const { stream, broken } = openStream(stranger, peer.peerId)
  stream.send(1, frame(peer.peerId, stranger.self, 5, 'from another cluster'))
  assert.not((await broken).ok)
  assert.equal(reached, [])

  const friend = startClient(CLUSTER)
  assert.ok((await callAll(friend, peer.peerId, 2000)).every(({ status }) => status.ok))
  assert.is(reached.length, METHODS.length)
})

overEach(test, 'E14 an answer of a member of another cluster is not believed, though it took the call', async () => {
  const reached: string[] = []
  // Its own id it learns only later: it cannot refuse. What it then is called, it says in every answer.
  const peer = await startPeer(curious(reached), null)
  const client = startClient('bb'.repeat(16))
  assert.ok(
    (await callAll(client, peer.peerId, 2000)).every(({ status }) => status.ok),
    'nobody can tell yet',
  )
  peer.identity.adoptClusterId('cc'.repeat(16))
  for (const { status } of await callAll(client, peer.peerId, 2000)) assert.not(status.ok)
  const { stream, broken, answered } = openStream(client, peer.peerId)
  stream.send(1, frame(peer.peerId, client.self, 5, null))
  assert.not((await broken).ok)
  assert.is((await answered(0)).length, 0)
})

overEach(test, 'E14 a node of another group, or of another address in that process, is not this one', async () => {
  const reached: string[] = []
  const peer = await startPeer(curious(reached))
  const client = startClient()
  for (const { status } of await callAll(client, peer.peerId, 2000, 'another group')) assert.is(status.code, ErrorCode.ENOENT)
  const proxy = await LinkProxy.to(peer.peerId)
  closers.push(() => proxy.close())
  const elsewhere = new PeerId('127.0.0.1', 1)
  client.faults.set({ dialMap: { [elsewhere.address]: proxy.address } })
  for (const { status } of await callAll(client, elsewhere, 2000)) assert.is(status.code, ErrorCode.ENOENT)
  const { stream, answered } = openStream(client, elsewhere)
  stream.send(1, frame(elsewhere, client.self, 5, 'for somebody else'))
  assert.is((await answered(1))[0]!.status.code, ErrorCode.ENOENT)
  assert.equal(reached, [])
})

overEach(
  test,
  'I10 every call to a half-open connection ends by its deadline, once, and the next one after it is mended works',
  async () => {
    const peer = await startPeer(curious([]))
    const proxy = await LinkProxy.to(peer.peerId)
    closers.push(() => proxy.close())
    const client = startClient(CLUSTER, 60_000)
    client.faults.set({ dialMap: { [peer.peerId.address]: proxy.address } })
    assert.ok((await callHello(client, peer.peerId)).status.ok)
    proxy.cut()
    for (const { status, answers } of await callAll(client, peer.peerId, 150)) {
      assert.equal([status.code, answers], [ErrorCode.ETIMEDOUT, 1])
    }
    const mute = openStream(client, peer.peerId)
    mute.stream.send(1, frame(peer.peerId, client.self, 5, null))
    assert.is((await mute.broken).code, ErrorCode.EHOSTDOWN)
    proxy.heal()
    await untilAnswered(client, peer.peerId)
    const { stream, answered } = openStream(client, peer.peerId)
    stream.send(1, frame(peer.peerId, client.self, 5, null))
    assert.ok((await answered(1))[0]!.status.ok, 'a stream opened after it is not wedged')
  },
)

overEach(test, 'I10 a name that nobody resolves fails every call, stream and dial, within the time they were given', async () => {
  const client = startClient()
  const nowhere = new PeerId('no-such-host.invalid', 7001)
  for (const { status, answers } of await callAll(client, nowhere, 2000)) {
    assert.ok([ErrorCode.EHOSTDOWN, ErrorCode.ETIMEDOUT].includes(status.code as never), status.toString())
    assert.is(answers, 1)
  }
  assert.not((await openStream(client, nowhere).broken).ok)
  assert.is(await new Promise((resolve) => client.transport.dial(nowhere, 300, resolve)), 'unknown')
})

overEach(test, 'I10 a peer that hangs up on everybody is not stormed with connections, and is found again when it is well', async () => {
  let connections = 0
  const hostile = net.createServer((socket) => {
    connections++
    socket.destroy()
  })
  await new Promise<void>((resolve) => hostile.listen(0, '127.0.0.1', resolve))
  closers.push(() => hostile.close())
  const peer = await startPeer({ ...answersHello, handleAppendEntries: (_request, answer) => answer(Status.OK, ACCEPTED) })
  const client = startClient()
  const { port } = hostile.address() as net.AddressInfo
  client.faults.set({ dialMap: { [peer.peerId.address]: `127.0.0.1:${port}` } })
  const since = performance.now()
  let calls = 0
  while (performance.now() - since < 600) {
    const round = await Promise.all(Array.from({ length: 20 }, () => callHello(client, peer.peerId, 300)))
    const stream = openStream(client, peer.peerId)
    assert.not((await stream.broken).ok)
    assert.ok(round.every(({ status }) => !status.ok))
    calls += round.length + 1
  }
  assert.ok(calls > 10 * connections, `${connections} connections for ${calls} calls`)
  assert.ok(connections < 20, `${connections} connections in ${performance.now() - since} ms`)

  client.faults.set({ heal: true })
  await untilAnswered(client, peer.peerId)
  const { stream, answered } = openStream(client, peer.peerId)
  stream.send(1, frame(peer.peerId, client.self, 5, null))
  assert.ok((await answered(1))[0]!.status.ok)
})

/** Asks until it is answered: the back-off after the last failure may still run. */
async function untilAnswered(client: Client, to: PeerId): Promise<void> {
  while (!(await callHello(client, to)).status.ok) await new Promise((resolve) => setTimeout(resolve, 20))
}

test.run()
