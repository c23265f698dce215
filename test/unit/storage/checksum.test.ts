import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { crc32c, murmur32, tableCrc32c } from '../../../src/storage/checksum.js'

const text = (value: string) => Buffer.from(value)

test('CRC-32C answers the vectors of braft and of RFC 3720', () => {
  assert.is(crc32c(text('')), 0)
  assert.is(crc32c(text('hello')), 0x9a71bb4c)
  assert.is(crc32c(text('123456789')), 0xe3069283)
  assert.is(crc32c(Buffer.alloc(32)), 0x8a9136aa)
  assert.is(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43)
})

test('the table and the native code agree at every length around the change from one to the other', () => {
  const bytes = Buffer.from(Array.from({ length: 600 }, (_, i) => (i * 167 + (i >> 3)) & 0xff))
  for (let length = 0; length <= bytes.length; length++)
    assert.is(crc32c(bytes.subarray(0, length)), tableCrc32c(bytes.subarray(0, length)), `length ${length}`)
})

test('a view into a larger buffer is summed alone', () => {
  const bytes = Buffer.alloc(1000, 7)
  assert.is(crc32c(bytes.subarray(300, 700)), crc32c(Buffer.alloc(400, 7)))
})

test('MurmurHash3 answers the vectors of braft, for every length of the last word', () => {
  assert.is(murmur32(text('')), 0)
  assert.is(murmur32(text('hello')), 0x248bfa47)
  assert.is(murmur32(Buffer.alloc(20)), 0xee9d294a)
  assert.is(murmur32(text('a')), 0x3c2569b2)
  assert.is(murmur32(text('ab')), 0x9bbfd75f)
  assert.is(murmur32(text('abc')), 0xb3dd93fa)
  assert.is(murmur32(text('abcd')), 0x43ed676a)
})

test.run()
