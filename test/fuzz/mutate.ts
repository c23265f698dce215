import type { SeededRandom } from '../support/fake-environment.js'

const NUMBERS = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff]

/** What parsers look for, and what has broken some. */
const WORDS = [
  ...[
    'PRPC',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
    'RAFTCTL1',
    'RAFTCTKV',
    'ustar',
    '__proto__',
    'constructor',
    'toString',
  ],
  ...[
    'null',
    '[]',
    '{}',
    '""',
    '-1',
    '1e400',
    '9007199254740993',
    'NaN',
    'true',
    '\u0000',
    '\uD800',
    '..',
    '../../etc/passwd',
    '/',
    '%s',
    '\r\n',
  ],
  ...['127.0.0.1:1:0:0', '0.0.0.0:0:0:0', '[::1]:1', ':::', ',', '://', 'ms', '1m30s', '[[[[[[[[', '{"a":{"a":{"a":'],
].map((word) => Buffer.from(word))

/** Varints that no number holds, numbers at the edges of 64 bits, groups that never end. */
const BYTES = [
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0x07],
  [0x0b, 0x0b, 0x0b, 0x0b],
  [0x0a, 0xff, 0xff, 0xff, 0xff, 0x07],
  [0, 0, 0, 0, 0, 0, 0, 0],
].map((bytes) => Buffer.from(bytes))

type Mutation = (bytes: Buffer, random: SeededRandom, others: readonly Buffer[]) => Buffer

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  flipBit,
  function setByte(bytes, random) {
    const copy = Buffer.from(bytes)
    if (copy.length > 0) copy[random.below(copy.length)] = pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)], random)
    return copy
  },
  function truncate(bytes, random) {
    return bytes.subarray(0, random.below(bytes.length + 1))
  },
  function cutOut(bytes, random) {
    const from = random.below(bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(Math.min(bytes.length, from + 1 + random.below(16)))])
  },
  function insert(bytes, random) {
    const at = random.below(bytes.length + 1)
    const word = random.chance(0.3) ? Buffer.from(random.hex(1 + random.below(12)), 'hex') : pick([...WORDS, ...BYTES], random)
    return Buffer.concat([bytes.subarray(0, at), word, bytes.subarray(at)])
  },
  function overwrite(bytes, random) {
    const copy = Buffer.from(bytes)
    pick([...WORDS, ...BYTES], random).copy(copy, random.below(bytes.length + 1))
    return copy
  },
  /** Where a length may stand, another one stands. */
  function attackLength(bytes, random) {
    const copy = Buffer.from(bytes)
    const size = pick([1, 2, 4, 8], random)
    if (copy.length < size) return copy
    const at = random.below(copy.length - size + 1)
    const value = random.chance(0.3) ? bytes.length + random.below(9) - 4 : pick(NUMBERS, random)
    if (size === 8) copy[random.chance(0.5) ? 'writeBigUInt64BE' : 'writeBigUInt64LE'](BigInt.asUintN(64, BigInt(value)), at)
    else if (random.chance(0.5)) copy.writeUIntBE(Math.max(0, value) % 256 ** size, at, size)
    else copy.writeUIntLE(Math.max(0, value) % 256 ** size, at, size)
    return copy
  },
  function repeat(bytes, random) {
    const from = random.below(bytes.length + 1)
    const piece = bytes.subarray(from, from + 1 + random.below(64))
    const times = random.chance(0.05) ? 2000 : 1 + random.below(8)
    return Buffer.concat([bytes.subarray(0, from), ...Array.from({ length: times }, () => piece), bytes.subarray(from)])
  },
  function splice(bytes, random, others) {
    const other = pick(others, random)
    return Buffer.concat([bytes.subarray(0, random.below(bytes.length + 1)), other.subarray(random.below(other.length + 1))])
  },
  function swap(bytes, random) {
    const [a, b] = [random.below(bytes.length + 1), random.below(bytes.length + 1)].sort((x, y) => x - y) as [number, number]
    return Buffer.concat([bytes.subarray(a, b), bytes.subarray(0, a), bytes.subarray(b)])
  },
  /** One text in the place of another: names of fields keep their form. */
  function nest(bytes, random) {
    const depth = random.chance(0.1) ? 20_000 : 1 + random.below(40)
    const [open, close] = pick(
      [
        ['[', ']'],
        ['{"a":', '}'],
        ['\x0b', '\x0c'],
        ['\x0a\x02', ''],
      ] as const,
      random,
    )
    const at = random.below(bytes.length + 1)
    return Buffer.concat([
      bytes.subarray(0, at),
      Buffer.from(open.repeat(depth) + (random.chance(0.5) ? close.repeat(depth) : '')),
      bytes.subarray(at),
    ])
  },
]

function flipBit(bytes: Buffer, random: SeededRandom): Buffer {
  const copy = Buffer.from(bytes)
  const at = random.below(Math.max(1, copy.length))
  if (copy.length > 0) copy[at] = copy[at]! ^ (1 << random.below(8))
  return copy
}

/** One to four changes of one of the samples; now and then bytes that are no sample at all. */
export function mutant(samples: readonly Buffer[], random: SeededRandom): Buffer {
  if (samples.length === 0 || random.chance(0.02)) return Buffer.from(random.hex(random.below(200)), 'hex')
  let bytes = pick(samples, random)
  for (let i = random.chance(0.5) ? 1 : 1 + random.below(4); i > 0; i--) bytes = pick(MUTATIONS, random)(bytes, random, samples)
  return bytes
}

export function pick<T>(items: readonly T[], random: SeededRandom): T {
  return items[random.below(items.length)]!
}
