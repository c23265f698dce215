import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { Channels } from '../../../src/rpc/channel.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { Names } from '../../support/names.js'
import {
  ACCEPTED,
  answersHello,
  CLUSTER,
  callHello,
  closeAll,
  closers,
  frame,
  openStream,
  overEach,
  startClient,
  startPeer,
} from '../../support/transport-bench.js'

test.after.each(closeAll)

/** Calls until it is answered; the time limit of the test ends the waiting. */
async function reached(client: ReturnType<typeof startClient>, to: PeerId): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!(await callHello(client, to, 500)).status.ok) {
    assert.ok(performance.now() < deadline, `${to} was not found again`)
    await pause(5)
  }
}

overEach(test, 'a member that comes back at another address under its name is found by the next attempts', async () => {
  const names = new Names()
  names.set('n2.test', '127.0.0.2')
  const before = await startPeer(answersHello, CLUSTER, { host: '127.0.0.2', name: 'n2.test' })
  const client = startClient(CLUSTER, 100, names.lookup)
  assert.ok((await callHello(client, before.peerId)).status.ok)

  await before.server.close({ deadlineMs: 0 })
  names.set('n2.test', '127.0.0.3')
  const after = await startPeer(answersHello, CLUSTER, { host: '127.0.0.3', name: 'n2.test', port: before.peerId.port })
  assert.ok(after.peerId.equals(before.peerId))
  await reached(client, after.peerId)
})

overEach(test, 'another member answers at the old address: the connection to it is given up once the name leads elsewhere', async () => {
  const names = new Names()
  names.set('n2.test', '127.0.0.2')
  const other = await startPeer(answersHello, CLUSTER, { host: '127.0.0.2', name: 'n1.test' })
  const { port } = other.peerId
  const client = startClient(CLUSTER, 100, names.lookup)
  const n2 = new PeerId('n2.test', port)
  assert.is((await callHello(client, n2)).status.code, ErrorCode.ENOENT)

  names.set('n2.test', '127.0.0.3')
  await startPeer(answersHello, CLUSTER, { host: '127.0.0.3', name: 'n2.test', port })
  await reached(client, n2)
})

overEach(test, 'a process of another cluster at the old address is left as well', async () => {
  const names = new Names()
  names.set('n2.test', '127.0.0.2')
  const other = await startPeer(answersHello, 'bb'.repeat(16), { host: '127.0.0.2', name: 'n2.test' })
  const { port } = other.peerId
  const client = startClient(CLUSTER, 100, names.lookup)
  const n2 = new PeerId('n2.test', port)
  assert.not.ok((await callHello(client, n2)).status.ok)

  names.set('n2.test', '127.0.0.3')
  await startPeer(answersHello, CLUSTER, { host: '127.0.0.3', name: 'n2.test', port })
  await reached(client, n2)
})

overEach(test, 'a group that a process does not have costs its other groups no connection, while the name leads there', async () => {
  const names = new Names()
  names.set('n2.test', '127.0.0.2')
  const answering = {
    ...answersHello,
    handleAppendEntries: (_request: unknown, answer: (status: Status, ack: typeof ACCEPTED) => void) => answer(Status.OK, ACCEPTED),
  }
  const peer = await startPeer(answering, CLUSTER, { host: '127.0.0.2', name: 'n2.test' })
  const client = startClient(CLUSTER, 10_000, names.lookup)
  const { stream, answered, broken } = openStream(client, peer.peerId)
  stream.send(1, frame(peer.peerId, client.self, 10, null))
  assert.is(await Promise.race([answered(1).then(() => 'taken'), broken]), 'taken')
  const elsewhere = { groupId: 'no-such-group', serverId: client.self, peerId: peer.peerId, incarnation: 'i', standing: 'member' as const }
  const refused = await new Promise<Status>((resolve) => client.transport.call(peer.peerId, 'hello', elsewhere, 5000, resolve))
  assert.is(refused.code, ErrorCode.ENOENT)

  stream.send(2, frame(peer.peerId, client.self, 11, null))
  assert.is(await Promise.race([answered(2).then((acks) => acks[1]!.status.code), broken]), ErrorCode.OK)
  assert.is(names.asked.length, 2, 'one to connect, one to see that it still leads there')
  assert.is(peer.server.connections, 1)
})

overEach(test, 'a name that does not resolve is said so, and is no proof that the process is gone', async () => {
  const client = startClient(CLUSTER, 100, new Names().lookup)
  const nobody = new PeerId('n9.test', 7001)
  const { status } = await callHello(client, nobody)
  assert.is(status.code, ErrorCode.EHOSTDOWN)
  assert.match(status.message, /the name n9\.test does not resolve here \(ENOTFOUND\)/)
  assert.is(await new Promise((resolve) => client.transport.dial(nobody, 500, resolve)), 'unknown')
})

overEach(test, 'all addresses of a name are tried; refused means by all of them', async () => {
  const names = new Names()
  const peer = await startPeer(answersHello, CLUSTER, { host: '127.0.0.3', name: 'n3.test' })
  const client = startClient(CLUSTER, 100, names.lookup)
  const dialled = () => new Promise((resolve) => client.transport.dial(peer.peerId, 1000, resolve))
  names.set('n3.test', '127.0.0.2', '127.0.0.3')
  assert.ok((await callHello(client, peer.peerId)).status.ok)
  assert.is(await dialled(), 'accepted')
  names.set('n3.test', '127.0.0.2', '127.0.0.4')
  assert.is(await dialled(), 'refused')
  names.set('n3.test', '127.0.0.2', '255.255.255.255')
  assert.is(await dialled(), 'unknown')
})

test('a port on [::] takes both families', async () => {
  const server = new RpcServer()
  closers.push(() => server.close({ deadlineMs: 0 }))
  const { port } = await server.listen({ host: '[::]' })
  const channels = new Channels()
  closers.push(() => channels.close())
  for (const host of ['127.0.0.1', '[::1]', 'localhost'])
    await new Promise<void>((resolve, reject) =>
      channels.grpc(`${host}:${port}`).waitForReady(Date.now() + 5000, (error) => (error ? reject(error) : resolve())),
    )
})

test.run()
