import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { braft } from '../../../src/generated/braft.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { SNAPSHOT_LIST } from '../../../src/raft/storage.js'
import { fileService } from '../../../src/rpc/file-service.js'
import { NodeManager } from '../../../src/rpc/node-manager.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { FakeNode, peer } from '../../support/rpc.js'

type Piece = { data: Buffer; eof: boolean }

const READER = '-34208353187694'
const LIST_META = { last_included_index: 7, last_included_term: 2, peers: ['127.0.0.1:2:0:0'] }
const list = (file: braft.LocalFileMeta.$Properties) =>
  Buffer.from(braft.LocalSnapshotPbMeta.encode({ meta: LIST_META, files: [{ name: 'a', meta: file }] }).finish())
const FILES: Record<string, Buffer> = {
  a: Buffer.from('0123456789'),
  b: Buffer.from('b'),
  [SNAPSHOT_LIST]: list({ user_meta: Buffer.from('mine'), checksum: 'crc32c:1', size: 10 }),
}

/** A node with one reader, whose reads are answered at once or when the test says so. */
class ReadingNode extends FakeNode {
  held: (() => void)[] | null = null

  override readFile(id: string, name: string, offset: number, count: number, done: (status: Status, piece?: Piece) => void): void {
    const answer = () => {
      if (id !== READER) return done(Status.error(ErrorCode.ENOENT, 'no reader'))
      if (count <= 0 || offset < 0) return done(Status.error(ErrorCode.EREQUEST, 'no range'))
      const file = FILES[name]
      if (!file) return done(Status.error(ErrorCode.EPERM, 'no file'))
      if (name === SNAPSHOT_LIST) return done(Status.OK, { data: file, eof: true })
      done(Status.OK, { data: file.subarray(offset, offset + count), eof: offset + count >= file.length })
    }
    if (this.held) this.held.push(answer)
    else answer()
  }
}

function bench() {
  const nodes = new NodeManager()
  const other = new FakeNode('other', peer('127.0.0.1:1'))
  const node = new ReadingNode('g', peer('127.0.0.1:2'))
  nodes.add(other)
  nodes.add(node)
  const { handle } = fileService(nodes, { post: (fn) => fn() }).methods['get_file']!
  const ask = (filename: string, offset: number, count: number, readerId: string = READER) => {
    const told: { code?: number; eof?: boolean; size?: number; attachment?: string } = {}
    handle({ reader_id: readerId, filename, offset, count }, {} as never, (status, response, attachment) =>
      Object.assign(told, { code: status.code, eof: response?.eof, size: response?.read_size, attachment: attachment?.toString('hex') }),
    )
    return told
  }
  return { ask, node, nodes }
}

const header = (offset: number, length: number) => offset.toString(16).padStart(16, '0') + length.toString(16).padStart(8, '0')

test('the bytes travel as one segment of FileSegData', () => {
  const { ask } = bench()
  assert.equal(ask('a', 0, 4), { code: 0, eof: false, size: 4, attachment: `${header(0, 4)}30313233` })
  assert.equal(ask('a', 4, 100), { code: 0, eof: true, size: 6, attachment: `${header(4, 6)}343536373839` })
  assert.equal(ask('a', 10, 1), { code: 0, eof: true, size: 0, attachment: '' }, 'a range at the end succeeds, without an attachment')
})

test('a file is read from its start, and to its end before the next', () => {
  const { ask } = bench()
  assert.is(ask('a', 2, 2).code, ErrorCode.EINVAL)
  assert.is(ask('a', 0, 2).code, 0)
  assert.is(ask('a', 1, 2).code, 0, 'any offset of the current file')
  assert.is(ask('b', 0, 2).code, ErrorCode.EINVAL)
  const { code, eof, size } = ask(SNAPSHOT_LIST, 3, 1)
  assert.equal({ code, eof, size }, { code: 0, eof: true, size: list({ user_meta: Buffer.from('mine') }).length }, 'the list comes whole')
  assert.is(ask('a', 3, 100).eof, true)
  assert.is(ask('b', 0, 2).code, 0)
})

test('braft is not told what we vouch for: its machines may go on writing a file that they loaded', () => {
  const expected = list({ user_meta: Buffer.from('mine') })
  assert.is(bench().ask(SNAPSHOT_LIST, 0, 2 ** 32 - 1).attachment, header(0, expected.length) + expected.toString('hex'))
})

test('by HTTP the bytes are the answer, and JSON where there are none', async () => {
  const { nodes } = bench()
  const server = new RpcServer()
  server.addService(fileService(nodes, { post: (fn) => fn() }))
  const { port } = await server.listen()
  const ask = async (body: string, service = 'FileService') => {
    const response = await fetch(`http://127.0.0.1:${port}/${service}/get_file`, { method: 'POST', body })
    const bytes = Buffer.from(await response.arrayBuffer())
    return { status: response.status, type: response.headers.get('content-type'), code: response.headers.get('x-bd-error-code'), bytes }
  }
  try {
    const some = await ask(`{"reader_id":${READER},"filename":"a","count":4,"offset":0}`)
    assert.equal([some.status, some.type, some.bytes.toString('hex')], [200, 'application/octet-stream', `${header(0, 4)}30313233`])
    const none = await ask(`{"reader_id":"${READER}","filename":"a","count":4,"offset":10}`, 'braft.FileService')
    assert.equal([none.status, none.type, none.bytes.toString()], [200, 'application/json', '{"eof":true,"read_size":0}'])
    const nobody = await ask('{"reader_id":1,"filename":"a","count":4,"offset":0}')
    assert.equal([nobody.status, nobody.code], [500, '2'])
    const bad = await ask(`{"reader_id":${READER},"filename":"../a","count":4,"offset":0}`)
    assert.equal([bad.status, bad.code], [403, '1'])
    const missing = await ask('{"reader_id":1}')
    assert.equal([missing.status, missing.code], [400, '1003'])
  } finally {
    await server.close({ deadlineMs: 50 })
  }
})

test('refusals come in the order of braft', () => {
  const { ask } = bench()
  assert.is(ask('a', -1, 0, '7').code, ErrorCode.ENOENT, 'the reader before the range')
  assert.is(ask('a', 0, 0).code, ErrorCode.EREQUEST)
  assert.is(ask('a', -1, 5).code, ErrorCode.EREQUEST)
  for (const name of ['./a', '../a', 'c']) assert.is(ask(name, 0, 5).code, ErrorCode.EPERM)
})

test('a reader is asked for one piece at a time', () => {
  const { ask, node } = bench()
  node.held = []
  const first = ask('a', 0, 2)
  assert.is(ask('a', 0, 2).code, ErrorCode.EAGAIN)
  for (const answer of node.held.splice(0)) answer()
  assert.is(first.code, 0)
  node.held = null
  assert.is(ask('a', 2, 2).code, 0)
})

test.run()
