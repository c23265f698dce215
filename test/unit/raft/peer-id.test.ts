import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PeerId, PeerRole } from '../../../src/raft/peer-id.js'

test('is read from two to four parts and printed with four', () => {
  assert.is(String(PeerId.parse('127.0.0.1:8100')), '127.0.0.1:8100:0:0')
  assert.is(String(PeerId.parse('127.0.0.1:8100:3')), '127.0.0.1:8100:3:0')
  assert.is(String(PeerId.parse('127.0.0.1:8100:3:1')), '127.0.0.1:8100:3:1')
  assert.is(String(PeerId.parse('127.0.0.1:8100::1')), '127.0.0.1:8100:0:1', 'braft accepts an empty index')
  assert.is(String(PeerId.parse('node-1.example:80')), 'node-1.example:80:0:0')
  assert.is(String(PeerId.parse('[::1]:8100')), '[::1]:8100:0:0')
  assert.is(String(PeerId.parse('[fe80::1%eth0]:8100:1')), '[fe80::1%eth0]:8100:1:0')
})

for (const text of [
  '',
  ':',
  'host',
  'host:',
  ':80',
  'host:x',
  'host:80:x',
  'host:80:0:2',
  'host:80:0:0:0',
  'host:80 ',
  ' host:80',
  'host:65536',
  'host:-1',
  'host:0',
  '1.2.3:80',
  '1.2.3.256:80',
  '1.2.3.4.5:80',
  '::1:80',
  '[::1]80',
  '[::1',
  '[]:80',
  '[:::]:80',
  '[1:2]:80',
  '[::1.2.3.400]:80',
  'a_b$:80',
  'host:80:2147483648',
  '-a:80',
]) {
  test(`'${text}' is no peer`, () => {
    assert.is(PeerId.parse(text), null)
  })
}

for (const [text, canonical] of [
  ['N1.DB.example:80', 'n1.db.example:80:0:0'],
  ['[2001:DB8:0:0::07]:80', '[2001:db8::7]:80:0:0'],
  ['[0:0:0:0:0:0:0:1]:80', '[::1]:80:0:0'],
  ['[::ffff:10.0.0.1]:80', '[::ffff:a00:1]:80:0:0'],
  ['[FE80::1%eth0.1]:80', '[fe80::1%eth0.1]:80:0:0'],
  ['10.00.0.01:0080', '10.0.0.1:80:0:0'],
] as const) {
  test(`'${text}' is the member ${canonical}, however it is written`, () => {
    assert.is(String(PeerId.parse(text)), canonical)
    assert.ok(PeerId.parse(text)!.equals(PeerId.parse(canonical)!))
  })
}

test('nobody is 0.0.0.0:0:0:0', () => {
  assert.is(PeerId.EMPTY.toString(), '0.0.0.0:0:0:0')
  assert.ok(PeerId.parse('0.0.0.0:0:0:0')!.isEmpty)
  assert.not.ok(PeerId.parse('0.0.0.0:1')!.isEmpty)
  assert.not.ok(PeerId.parse('0.0.0.0:0:1')!.isEmpty)
})

test('the role does not make another member', () => {
  const [replica, witness] = [new PeerId('h', 1), new PeerId('h', 1, 0, PeerRole.WITNESS)]
  assert.ok(replica.equals(witness))
  assert.is(replica.key, witness.key)
  assert.not.ok(replica.equals(new PeerId('h', 1, 1)))
  assert.not.ok(replica.equals(new PeerId('h', 2)))
  assert.is(replica.address, 'h:1')
})

test("braft's order: IPv4 by number, then port, then index; names after", () => {
  const texts = ['9.0.0.1:1', '10.0.0.1:1', '10.0.0.1:1:2', '10.0.0.1:10', '200.1.1.1:1', 'a:2', 'b:1']
  const peers = texts.map((text) => PeerId.parse(text)!)
  assert.equal([...peers].reverse().sort(PeerId.compare), peers)
})

const byte = fc.integer({ min: 0, max: 255 })
const host = fc.oneof(
  fc.tuple(byte, byte, byte, byte).map((parts) => parts.join('.')),
  fc.constantFrom('a', 'db-1.internal', 'n_1', '[::1]', '[2001:db8::7]'),
)

test('what is printed is read again', () => {
  const peer = fc.record({ host, port: fc.integer({ min: 1, max: 65535 }), idx: fc.nat(0x7fffffff), role: fc.constantFrom(0, 1) })
  fc.assert(
    fc.property(peer, ({ host, port, idx, role }) => {
      const id = new PeerId(host, port, idx, role as PeerRole)
      assert.equal(PeerId.parse(id.toString()), id)
    }),
  )
})

test('garbage never throws', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[\d.:[\]a-f]{0,20}$/)), (text) => {
      const id = PeerId.parse(text)
      if (id) assert.ok(PeerId.parse(id.toString())!.equals(id))
    }),
    { numRuns: 2000 },
  )
})

test.run()
