import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { braft } from '../../../src/generated/braft.js'
import { Configuration, ConfigurationEntry, encodeConfiguration } from '../../../src/raft/configuration.js'
import type { AppendStreamEvents } from '../../../src/raft/environment.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { EntryBatch, EntryType, type NewEntry } from '../../../src/raft/log-entry.js'
import type { AppendEntriesResponse, GetFileResponse, PeerCalls, PeerMethod } from '../../../src/raft/messages.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm, fromInt64, logIndex } from '../../../src/raft/types.js'
import { Faults } from '../../../src/rpc/faults.js'
import { ProcessIdentity } from '../../../src/rpc/identity.js'
import { MixedTransport } from '../../../src/rpc/mixed-transport.js'
import { PeerTransport } from '../../../src/rpc/transport.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { checksum } from '../../../src/storage/checksum.js'
import { BraftMember, LIST } from '../../support/braft-member.js'
import { LinkProxy } from '../../support/proxy.js'
import { answersHello, closeAll, closers, GROUP, startPeer } from '../../support/transport-bench.js'

test.after.each(closeAll)

const SELF = PeerId.parse('127.0.0.1:2')!

function start() {
  const identity = new ProcessIdentity(SELF, 'self', 'boot', '0.1.0', null)
  const faults = new Faults(true)
  const executor = new EventLoopExecutor()
  const kinds: string[] = []
  const own = new PeerTransport({ executor, identity, faults, onName: () => {}, connectTimeoutMs: 2000 })
  const onKind = (peer: PeerId, kind: string) => void kinds.push(`${peer.port} ${kind}`)
  const transport = new MixedTransport({ own, executor, checksum, identity, faults, connectTimeoutMs: 2000, pingMs: 60_000, onKind })
  closers.push(() => transport.close())
  return { transport, faults, kinds }
}

async function startBraft(port = 0): Promise<{ member: BraftMember; to: PeerId }> {
  const member = await BraftMember.start(GROUP, port)
  closers.push(() => member.close())
  return { member, to: PeerId.parse(member.address)! }
}

type Outcome<M extends PeerMethod> = { status: Status; response: PeerCalls[M]['response'] | undefined }

function call<M extends PeerMethod>(
  transport: MixedTransport,
  to: PeerId,
  method: M,
  rest: Omit<PeerCalls[M]['request'], 'groupId' | 'serverId' | 'peerId'>,
  timeoutMs = 5000,
): Promise<Outcome<M>> {
  const request = { groupId: GROUP, serverId: SELF, peerId: to, ...rest } as PeerCalls[M]['request']
  return new Promise((resolve) => transport.call(to, method, request, timeoutMs, (status, response) => resolve({ status, response })))
}

const VOTE = { term: asTerm(2), lastLogTerm: asTerm(0), lastLogIndex: logIndex(0), disruptedLeader: null }

/** A stream of append requests, whose answers are looked at by number. */
function openStream(transport: MixedTransport, to: PeerId) {
  const answers = new Map<number, Status | AppendEntriesResponse>()
  const waiters: (() => void)[] = []
  let breakNow: (status: Status) => void = () => {}
  const broken = new Promise<Status>((resolve) => (breakNow = resolve))
  const events: AppendStreamEvents = {
    answer: (seq, status, response) => {
      answers.set(seq, response ?? status)
      for (const wake of waiters.splice(0)) wake()
    },
    broken: (status) => breakNow(status),
  }
  const stream = transport.openAppendStream(GROUP, SELF, to, events)
  const answered = async (seq: number) => {
    while (!answers.has(seq)) await new Promise<void>((resolve) => waiters.push(resolve))
    return answers.get(seq)!
  }
  const send = (seq: number, prev: number, entries: readonly NewEntry[] = [], committed = 0) =>
    stream.send(seq, {
      groupId: GROUP,
      serverId: SELF,
      peerId: to,
      term: asTerm(2),
      prevLogTerm: asTerm(prev > 0 ? 2 : 0),
      prevLogIndex: logIndex(prev),
      committedIndex: logIndex(committed),
      entries: entries.length > 0 ? EntryBatch.encode(logIndex(prev + 1), asTerm(2), entries, checksum) : null,
    })
  return { stream, send, answered, answers, broken }
}

const data = (text: string): NewEntry => ({ type: EntryType.DATA, data: Buffer.from(text) })
const TWO = ['127.0.0.1:2:0:0', '127.0.0.1:3:0:0']

function configuration(peers: readonly string[], old: readonly string[] = []): NewEntry {
  const conf = (texts: readonly string[]) => new Configuration(texts.map((text) => PeerId.parse(text)!))
  const entry = new ConfigurationEntry({ index: logIndex(1), term: asTerm(2) }, conf(peers), conf(old))
  return { type: EntryType.CONFIGURATION, data: encodeConfiguration(entry, logIndex(1)) }
}

test('votes go to a braft node as its own, and its answers come back whole', async () => {
  const { transport, kinds } = start()
  const { member, to } = await startBraft()
  const disruptedLeader = { peerId: PeerId.parse('127.0.0.1:9')!, term: asTerm(1) }
  assert.ok((await call(transport, to, 'preVote', VOTE)).response!.granted)
  assert.is(member.term, 1, 'a pre-vote raises no term')
  const { response } = await call(transport, to, 'requestVote', { ...VOTE, disruptedLeader })
  assert.equal(response, { term: asTerm(2), granted: true, disrupted: false, previousTerm: asTerm(1), rejectedByLease: false })
  const [asked] = member.requests<braft.RequestVoteRequest>('request_vote')
  assert.equal(
    [asked!.group_id, asked!.server_id, asked!.peer_id, fromInt64(asked!.term), asked!.disrupted_leader?.peer_id],
    [GROUP, '127.0.0.1:2:0:0', member.peerId, 2, '127.0.0.1:9:0:0'],
  )
  assert.is(member.requests<braft.RequestVoteRequest>('pre_vote')[0]!.disrupted_leader ?? null, null)
  assert.equal(kinds, [`${to.port} braft`])
})

test('entries go to a braft node with their data in the attachment and every data_len said, 0 too', async () => {
  const { transport } = start()
  const { member, to } = await startBraft()
  member.term = 2
  const { send, answered } = openStream(transport, to)
  send(1, 0)
  assert.equal(await answered(1), {
    term: asTerm(2),
    success: true,
    lastLogIndex: logIndex(0),
    readonly: false,
    short: false,
    rebuilding: false,
  })
  send(2, 0, [configuration(TWO, [TWO[0]!]), data('first'), data(''), { type: EntryType.NO_OP, data: Buffer.alloc(0) }, data('x')], 3)
  assert.equal(((await answered(2)) as AppendEntriesResponse).success, true)
  assert.equal(
    member.log.map(({ type, data, peers }) => [type, data, peers.length]),
    [
      [EntryType.CONFIGURATION, '', 2],
      [EntryType.DATA, 'first', 0],
      [EntryType.DATA, '', 0],
      [EntryType.NO_OP, '', 0],
      [EntryType.DATA, 'x', 0],
    ],
  )
  const [, sent] = member.requests<braft.AppendEntriesRequest>('append_entries')
  assert.equal(
    sent!.entries.map((entry) => [entry.data_len === null ? null : fromInt64(entry.data_len), entry.old_peers?.length]),
    [
      [0, 1],
      [5, 0],
      [0, 0],
      [0, 0],
      [1, 0],
    ],
  )
  assert.equal([sent!.attachment, fromInt64(sent!.committed_index), member.committed], ['firstx', 3, 3])
})

test('a witness of braft is sent entries without data and without data_len, as braft does', async () => {
  const { transport } = start()
  const { member, to } = await startBraft()
  member.term = 2
  const { send, answered } = openStream(transport, to)
  const bare = (text: string) => ({ ...data(text), data: Buffer.alloc(0), bare: true })
  send(1, 0, [configuration(TWO), bare('first'), bare('second')], 3)
  assert.equal(((await answered(1)) as AppendEntriesResponse).success, true)
  const [sent] = member.requests<braft.AppendEntriesRequest>('append_entries')
  assert.equal(
    sent!.entries.map(({ type, data_len, peers }) => [type, data_len, peers.length]),
    [
      [EntryType.CONFIGURATION, sent!.entries[0]!.data_len, 2],
      [EntryType.DATA, null, 0],
      [EntryType.DATA, null, 0],
    ],
  )
  assert.is(sent!.attachment, '')
})

test('one request with entries is under way at a time, what waits goes out together, and heartbeats wait for nothing', async () => {
  const { transport } = start()
  const { member, to } = await startBraft()
  member.term = 2
  let release: () => void = () => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  member.intercept = (_method, request) => ((request as braft.AppendEntriesRequest).entries.length === 1 ? held : null)
  const { send, answered, answers } = openStream(transport, to)
  send(1, 0, [data('a')])
  send(2, 1, [data('b')])
  send(3, 2, [data('c')], 2)
  send(4, 0)
  await answered(4)
  assert.equal([...answers.keys()], [4])
  assert.is(member.requests('append_entries').length, 2)
  release()
  await answered(3)
  assert.equal([...answers.keys()].sort(), [1, 2, 3, 4])
  const requests = member.requests<braft.AppendEntriesRequest>('append_entries')
  assert.equal(
    requests.map(({ entries, attachment, prev_log_index }) => [entries.length, attachment, fromInt64(prev_log_index)]),
    [
      [1, 'a', 0],
      [0, '', 0],
      [2, 'bc', 1],
    ],
  )
  assert.equal(
    member.log.map((entry) => entry.data),
    ['a', 'b', 'c'],
  )
})

test('what a braft node refuses comes with its number, and a failure without a hint means an empty log', async () => {
  const { transport } = start()
  const { member, to } = await startBraft()
  member.term = 2
  const { send, answered } = openStream(transport, to)
  const codes = [ErrorCode.ENOENT, ErrorCode.EINVAL, ErrorCode.EBUSY, ErrorCode.EAGAIN, ErrorCode.EINTERNAL]
  for (const [at, code] of codes.entries()) {
    member.intercept = () => new Status(code, 'refused by the test')
    send(at, 0, [data('a')])
    assert.equal(await answered(at), new Status(code, 'refused by the test'))
  }
  member.intercept = () => null
  send(10, 7)
  assert.equal(await answered(10), {
    term: asTerm(2),
    success: false,
    lastLogIndex: logIndex(0),
    readonly: false,
    short: false,
    rebuilding: false,
  })
  member.term = 3
  send(11, 0)
  assert.equal(((await answered(11)) as AppendEntriesResponse).term, 3)
})

test('a lost connection breaks the stream once, and the next one begins anew', async () => {
  const { transport } = start()
  const { member, to } = await startBraft()
  member.term = 2
  member.intercept = (_method, request) => ((request as braft.AppendEntriesRequest).entries.length > 0 ? new Promise(() => {}) : null)
  const first = openStream(transport, to)
  first.send(1, 0)
  await first.answered(1)
  first.send(2, 0, [data('never answered')])
  await member.close()
  assert.is((await first.broken).code, ErrorCode.ECONNRESET)
  const { member: again } = await startBraft(member.port)
  again.term = 2
  transport.noteAlive(to)
  const second = openStream(transport, to)
  second.send(1, 0)
  assert.is(((await second.answered(1)) as AppendEntriesResponse).success, true)
})

test('what braft does not know fails at once, and nothing of it is sent', async () => {
  const { transport } = start()
  const { member, to } = await startBraft()
  const hello = await call(transport, to, 'hello', { incarnation: 'i', standing: 'member' })
  const readIndex = await call(transport, to, 'readIndex', { mode: 'confirmed' })
  const release = await call(transport, to, 'release', { term: asTerm(2) })
  for (const { status } of [hello, readIndex, release]) {
    assert.is(status.code, ErrorCode.ENOMETHOD)
    assert.match(status.message, 'is a braft node')
  }
  assert.equal(member.received, [])
})

test('install_snapshot names the place to read from, and is held as long as the braft node takes', async () => {
  const { transport } = start()
  const { member, to } = await startBraft()
  let release: () => void = () => {}
  member.intercept = () => new Promise<void>((resolve) => (release = resolve))
  const meta = {
    lastIncluded: { index: logIndex(5), term: asTerm(2) },
    configuration: new ConfigurationEntry({ index: logIndex(5), term: asTerm(2) }, new Configuration([SELF])),
  }
  const installed = call(transport, to, 'installSnapshot', { term: asTerm(2), meta, uri: 'remote://127.0.0.1:2/7' })
  while (member.received.length === 0) await new Promise((resolve) => setImmediate(resolve))
  release()
  const { response } = await installed
  assert.equal(response, { term: asTerm(1), success: true })
  const [asked] = member.requests<braft.InstallSnapshotRequest>('install_snapshot')
  assert.equal(
    [asked!.uri, asked!.meta.peers, fromInt64(asked!.meta.last_included_index)],
    ['remote://127.0.0.1:2/7', ['127.0.0.1:2:0:0'], 5],
  )
})

const READER = '-34208353187694'

/** Asks for a piece of a file of the braft member's snapshot. */
const piece = (transport: MixedTransport, to: PeerId, filename: string, offset: number, count: number) =>
  call(transport, to, 'getFile', { readerId: READER, filename, offset, count })

const told = ({ status, response }: { status: Status; response: GetFileResponse | undefined }) =>
  response ? [response.data.toString(), response.eof, response.crc32c === checksum.crc32c(response.data)] : status.code

test('pieces asked for ahead are read one after the other, and a file is read from its start and to its end', async () => {
  const { transport } = start()
  const { member, to } = await startBraft()
  const files = new Map([
    [LIST, Buffer.from('the list')],
    ['a', Buffer.from('0123456789')],
    ['b', Buffer.from('bbb')],
  ])
  member.snapshot = { readerId: READER, files }
  const ahead = [0, 4, 8, 12].map((offset) => piece(transport, to, 'a', offset, 4))
  assert.equal((await Promise.all(ahead)).map(told), [
    ['0123', false, true],
    ['4567', false, true],
    ['89', true, true],
    ['', true, true],
  ])
  // A copy that goes on in the middle, and leaves a file before its end.
  assert.equal(told(await piece(transport, to, 'b', 2, 1)), ['b', true, true])
  assert.equal(told(await piece(transport, to, 'a', 0, 4)), ['0123', false, true])
  assert.equal(told(await piece(transport, to, LIST, 0, 0xffffffff)), ['the list', true, true])
  assert.equal(told(await piece(transport, to, 'b', 0, 9)), ['bbb', true, true])
  assert.equal(told(await piece(transport, to, 'c', 0, 9)), ErrorCode.EPERM)
  member.snapshot = null
  assert.equal(told(await piece(transport, to, 'a', 0, 9)), ErrorCode.ENOENT)
})

test('a raftctl node in the same group is spoken to as ever', async () => {
  const peer = await startPeer(answersHello)
  const { transport, kinds } = start()
  const { status, response } = await call(transport, peer.peerId, 'hello', { incarnation: 'i', standing: 'member' })
  assert.ok(status.ok, `${status}`)
  assert.is(response!.incarnation, 'i2')
  assert.equal(kinds, [`${peer.peerId.port} raftctl`])
})

test('who takes the place of a process is asked anew what it is', async () => {
  const { transport, kinds } = start()
  const { member, to } = await startBraft()
  assert.is((await call(transport, to, 'preVote', VOTE)).status.code, 0)
  await member.close()
  const peer = await startPeer(answersHello, null, { port: member.port })
  // Until the end of the old connection is noticed here.
  for (let answered = false; !answered; ) {
    transport.noteAlive(to)
    answered = (await call(transport, peer.peerId, 'hello', { incarnation: 'i', standing: 'member' })).status.ok
  }
  assert.equal(kinds, [`${to.port} braft`, `${to.port} raftctl`])
})

test('a call to nobody fails as a refused connection, one to somebody silent by its deadline', async () => {
  const { transport } = start()
  const { member, to } = await startBraft()
  await member.close()
  assert.is((await call(transport, to, 'preVote', VOTE)).status.code, ErrorCode.ECONNREFUSED)
  const { to: other } = await startBraft()
  const proxy = await LinkProxy.to(other)
  closers.push(() => proxy.close())
  proxy.cut()
  const silent = PeerId.parse(proxy.address)!
  assert.is((await call(transport, silent, 'preVote', VOTE, 100)).status.code, ErrorCode.ETIMEDOUT)
  const { stream, send, broken } = openStream(transport, silent)
  send(1, 0)
  assert.not((await broken).ok)
  stream.close()
})

test('a cut link to a braft node lets nothing pass, and a healed one does', async () => {
  const { transport, faults } = start()
  const { member, to } = await startBraft()
  faults.set({ partition: [to.address] })
  assert.is((await call(transport, to, 'preVote', VOTE, 100)).status.code, ErrorCode.ETIMEDOUT)
  assert.equal(member.received, [])
  faults.set({ heal: true })
  assert.is((await call(transport, to, 'preVote', VOTE)).status.code, 0)
  faults.add('loss', { kind: 'drop', peers: new Set([to.address]), percent: 100 }, 60_000)
  assert.is((await call(transport, to, 'preVote', VOTE, 100)).status.code, ErrorCode.ETIMEDOUT)
  const { send, broken } = openStream(transport, to)
  send(1, 0)
  assert.is((await broken).code, ErrorCode.ECONNRESET)
  assert.is(member.received.length, 1)
})

test.run()
