import * as http2 from 'node:http2'
import * as net from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Http2Error } from '../../../../src/rpc/http2/error.js'
import { HeaderDecoder } from '../../../../src/rpc/http2/header-decoder.js'
import { HeaderEncoder, type HeaderField } from '../../../../src/rpc/http2/header-encoder.js'
import { decodeHuffman } from '../../../../src/rpc/http2/huffman.js'
import { ServerConnection } from '../../../../src/rpc/http2/server-connection.js'
import { SeededRandom } from '../../../support/fake-environment.js'
import { hex } from '../../../support/rpc.js'

const test = suite('HTTP/2 header fields')

const decode = (decoder: HeaderDecoder, block: string) => decoder.decode(hex(block)).fields

test('requests with Huffman coding are read, with what earlier ones left in the table (RFC 7541 C.4)', () => {
  const decoder = new HeaderDecoder(4096)
  const common = [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com']
  assert.equal(decode(decoder, '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'), common)
  assert.equal(decode(decoder, '8286 84be 5886 a8eb 1064 9cbf'), [...common, 'cache-control', 'no-cache'])
  assert.equal(decode(decoder, '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf'), [
    ...[':method', 'GET', ':scheme', 'https', ':path', '/index.html', ':authority', 'www.example.com'],
    ...['custom-key', 'custom-value'],
  ])
})

test('entries leave the table when it is full, oldest first (RFC 7541 C.5, with its table of 256 bytes)', () => {
  const decoder = new HeaderDecoder(4096)
  const first = [
    ':status',
    '302',
    'cache-control',
    'private',
    'date',
    'Mon, 21 Oct 2013 20:13:21 GMT',
    'location',
    'https://www.example.com',
  ]
  const block =
    '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d'
  assert.equal(decode(decoder, `3fe101 ${block}`), first)
  assert.equal(decode(decoder, '4803 3330 37c1 c0bf'), [':status', '307', ...first.slice(2)])
  // :status 302 has made room.
  assert.throws(() => decode(decoder, 'c2'), /index 66/)
})

test('every byte, in every place of a string, is what nghttp2 means by its Huffman code', async () => {
  const values = Array.from({ length: 254 }, (_, i) => i + 1).filter((byte) => byte === 9 || (byte >= 0x20 && byte !== 0x7f))
  // Long enough to be shorter with the code than without it.
  const texts = values.flatMap((byte) =>
    [0, 1, 2, 3].map((before) => `${'0'.repeat(16 + before)}${String.fromCharCode(byte)}${'e'.repeat(byte % 3)}x`),
  )
  const received = await throughNode(texts.map((text, i) => [`x-${i}`, text]))
  texts.forEach((text, i) => assert.is(received.get(`x-${i}`), text))
})

test('what no encoder writes is refused: wrong padding, the end symbol, indices and lengths that are not there', () => {
  // '0' is 00000: the three bits after it must be ones.
  assert.is(decodeHuffman(hex('07'), 0, 1), '0')
  for (const [bytes, why] of [
    ['06', 'ends within a symbol'],
    ['07ff', 'ends within a symbol'],
    ['ffffffff', 'holds the end symbol'],
  ] as const)
    assert.throws(() => decodeHuffman(hex(bytes), 0, bytes.length / 2), new RegExp(why))
  for (const block of ['80', 'be', '40', '0001', '000161', '00016105', 'ffffffffffffff', '3fe21f', '823f', '7f', '0f'])
    assert.throws(
      () => decode(new HeaderDecoder(4096), block),
      (error: unknown) => error instanceof Http2Error && error.code === ErrorCode.COMPRESSION_ERROR,
      block,
    )
})

test('more than a caller may send is not kept, and what follows on the connection is still understood', () => {
  const [encoder, decoder] = [new HeaderEncoder(), new HeaderDecoder(100)]
  const large = decoder.decode(
    encoder.recurring([
      ['a', 'x'.repeat(50)],
      ['b', 'y'.repeat(50)],
      ['c', 'z'],
    ]),
  )
  assert.equal([large.tooLarge, large.fields], [true, ['a', 'x'.repeat(50)]])
  assert.equal(decoder.decode(encoder.recurring([['c', 'z']])), { fields: ['c', 'z'], tooLarge: false })
})

test('whatever is written is read, whole and in order, as the tables of both sides change', () => {
  const random = new SeededRandom(7)
  for (let run = 0; run < 40; run++) {
    const [encoder, decoder] = [new HeaderEncoder(), new HeaderDecoder(1 << 20)]
    const word = () => `w${random.below(30)}`.repeat(1 + random.below(20))
    const kept = Array.from({ length: 5 }, () => Array.from({ length: random.below(5) }, (): HeaderField => [word(), word()]))
    for (let i = 0; i < 60; i++) {
      if (random.chance(0.05)) encoder.setTableBytes(random.below(5000))
      const fields = random.chance(0.6) ? kept[random.below(kept.length)]! : [[word(), word()] as const, [':status', '200'] as const]
      const block = random.chance(0.7) ? encoder.recurring(fields) : encoder.once(fields)
      assert.equal(decoder.decode(block).fields, fields.flat())
    }
  }
})

test('what is larger than the table empties it and is not kept', () => {
  const decoder = new HeaderDecoder(4096)
  assert.equal(decode(decoder, '3f0f 4001 6101 62 4001 6301 64'), ['a', 'b', 'c', 'd'])
  // Of 46 bytes in a table of 46: it holds one entry of 34 at a time.
  assert.equal(decode(decoder, 'be'), ['c', 'd'])
  assert.throws(() => decode(decoder, 'bf'), /index 63/)
  const empty = new HeaderDecoder(4096)
  assert.equal(decode(empty, '20 4001 6101 62'), ['a', 'b'])
  assert.throws(() => decode(empty, 'be'), /index 62/)
})

test('a block that comes again is not read again', () => {
  const decoder = new HeaderDecoder(4096)
  const block = hex('8287 0001 6101 62')
  const first = decoder.decode(block)
  assert.equal(first.fields, [':method', 'GET', ':scheme', 'https', 'a', 'b'])
  assert.is(decoder.decode(Buffer.from(block)), first)
  // What it came in is used again for what comes next.
  block.fill(0x83)
  assert.equal(decoder.decode(block).fields, Array(block.length).fill([':method', 'POST']).flat())
  assert.equal(decode(decoder, '8383'), [':method', 'POST', ':method', 'POST'])
  assert.equal(decode(decoder, '83'), [':method', 'POST'])
  assert.equal(decode(decoder, '8383'), [':method', 'POST', ':method', 'POST'])
})

test('a block that comes again is read again when it adds to the table, or another one did', () => {
  const decoder = new HeaderDecoder(4096)
  const added = '4001 6101 62'
  assert.equal(
    [decode(decoder, added), decode(decoder, added)],
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
  )
  assert.equal(decode(decoder, 'bf'), ['a', 'b'], 'twice in the table')
  assert.equal(decode(decoder, '4001 6301 64'), ['c', 'd'])
  assert.equal(decode(decoder, 'be'), ['c', 'd'])
  assert.equal(decode(decoder, '4001 6501 66'), ['e', 'f'])
  assert.equal(decode(decoder, 'be'), ['e', 'f'])
})

test('a long block is not remembered', () => {
  const decoder = new HeaderDecoder(4096)
  const long = Buffer.alloc(1025, 0x82)
  const first = decoder.decode(long)
  assert.is(first.tooLarge, true)
  assert.is.not(decoder.decode(long), first)
})

test('a client that keeps a small table, or none, reads what recurs', async () => {
  for (const headerTableSize of [0, 100, 4096, 65_536]) {
    const recurring: HeaderField[] = [
      [':status', '200'],
      ['content-type', 'application/grpc'],
      ['x-long', 'v'.repeat(50)],
      ['x-other', 'w'.repeat(50)],
    ]
    const answers = await answersTo(3, { headerTableSize }, recurring)
    for (const answer of answers)
      assert.equal([answer['x-long'], answer['x-other']], ['v'.repeat(50), 'w'.repeat(50)], `${headerTableSize}`)
  }
})

test('fields that recur cost a byte each', () => {
  const encoder = new HeaderEncoder()
  const fields: HeaderField[] = [
    [':status', '200'],
    ['content-type', 'application/grpc'],
    ['raftctl-peer-id', '10.0.0.1:7000:0:0'],
  ]
  assert.ok(encoder.recurring(fields).length > 40)
  assert.is(encoder.recurring(fields).length, 3)
  encoder.setTableBytes(0)
  assert.ok(encoder.recurring(fields).length > 40)
})

/** A server that answers every request by those fields, and hears of its own. */
async function listen(answer: readonly HeaderField[], heard: (fields: readonly string[]) => void) {
  const server = net.createServer((socket) => {
    void new ServerConnection(socket, {
      streamsMax: 1000,
      headerListBytesMax: 1 << 20,
      onRequest: (stream, all) => {
        heard(all)
        stream.end({ fields: answer, recur: true })
        return null
      },
      onOversized: () => {},
      onClosed: () => {},
    })
  })
  const port = await new Promise<number>((done) => server.listen(0, '127.0.0.1', () => done((server.address() as net.AddressInfo).port)))
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() }
}

/** What node's own client, with those settings, reads of so many answers. */
async function answersTo(count: number, settings: http2.Settings, answer: readonly HeaderField[]): Promise<http2.IncomingHttpHeaders[]> {
  const { url, close } = await listen(answer, () => {})
  const client = http2.connect(url, { settings })
  const answers: http2.IncomingHttpHeaders[] = []
  for (let i = 0; i < count; i++) {
    const request = client.request({ ':path': '/' })
    answers.push(await new Promise((done, fail) => request.once('response', done).once('error', fail)))
  }
  client.destroy()
  close()
  return answers
}

/** Sent by node's own client, as a server of ours reads them. */
async function throughNode(fields: readonly HeaderField[]): Promise<Map<string, string>> {
  const seen = new Map<string, string>()
  const { url, close } = await listen([[':status', '204']], (all) => {
    for (let i = 0; i < all.length; i += 2) seen.set(all[i]!, all[i + 1]!)
  })
  const client = http2.connect(url)
  for (let from = 0; from < fields.length; from += 20) {
    const request = client.request(Object.fromEntries(fields.slice(from, from + 20)))
    await new Promise((done, fail) => request.once('response', done).once('error', fail))
  }
  client.destroy()
  close()
  return seen
}

test.run()
