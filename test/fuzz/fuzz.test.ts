// timeout: 180s
// What every decoder promises, whatever the bytes are: it answers, it throws nothing but what it says, it asks for no more memory than the
// input is worth, and what it accepted is encoded again. See run.ts; npm run fuzz runs it for longer.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { entryHeader } from '../../src/rpc/snapshot-archive.js'
import { SeededRandom } from '../support/fake-environment.js'
import { readCorpus } from './corpus.js'
import type { Decoder } from './decoder.js'
import { generatedMessages } from './decoders-network.js'
import { DECODERS } from './registry.js'
import { fuzz, judge } from './run.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const RUNS = 400
const named = (name: string) => DECODERS.find((one) => one.name === name)!
const noCounters = () => ({ runs: 0, refused: 0, accepted: 0 })

for (const decoder of DECODERS) {
  test(`${decoder.name}: valid inputs, those that failed once, and ${RUNS} mutants`, () => {
    const corpus = readCorpus(decoder.name)
    for (const { file, bytes } of corpus) assert.is(judge(decoder, bytes, 1, noCounters()), null, file)
    const { counters, finding } = fuzz(decoder, { seed: 1, corpus: corpus.map(({ bytes }) => bytes), until: (runs) => runs >= RUNS })
    assert.is(finding?.problem, undefined, `npm run fuzz -- --decoder ${decoder.name} --seed 1; input ${finding?.bytes.toString('base64')}`)
    assert.ok(counters.runs >= RUNS)
    assert.ok(counters.accepted > 0, 'nothing was accepted: the samples are not valid')
  })
}

test('a bound on memory, a limit of the stack, a wrong refusal and an unstable encoding are noticed', () => {
  const broken = (run: Decoder['run']) =>
    judge({ name: 'broken', covers: [], samples: () => [], run }, Buffer.from('x'), 1, noCounters()) ?? ''
  const deep = (n: number): number => (n === 0 ? 0 : 1 + deep(n - 1))
  assert.match(
    broken(() => ({ value: Buffer.alloc(2 ** 31 - 1) })),
    /asked for 2147483647 bytes/,
  )
  assert.match(
    broken(() => ({ value: Buffer.allocUnsafe(2 ** 30) })),
    /asked for/,
  )
  assert.match(
    broken(() => ({ value: new Uint8Array(2 ** 26) })),
    /bytes outside of the heap/,
  )
  assert.match(
    broken(() => ({ value: deep(1e6) })),
    /the stack overflowed/,
  )
  assert.match(
    broken(() => ({ value: (null as unknown as Buffer).length })),
    /threw TypeError/,
  )
  let calls = 0
  assert.match(
    broken(() => ({ value: 1, encode: () => Buffer.from([calls++]) })),
    /in another way each time/,
  )
})

test('what is nested a hundred thousand times is refused, and not by luck', () => {
  const open = '['.repeat(100_000)
  const close = ']'.repeat(100_000)
  const manifest = Buffer.from(
    `{"format":"raftctl-snapshot","schemaVersion":1,"index":1,"term":1,"configIndex":1,"files":[],"members":[${open}${close}]}`,
  )
  const inputs: Record<string, Buffer> = {
    'node-json': Buffer.from(`{"format":1,"a":${open}${close}}`),
    'snapshot-archive': Buffer.concat([entryHeader('manifest.json', manifest.length)!, manifest, Buffer.alloc(1024)]),
    'json-calls': Buffer.from(`\0{"group_id":${open}${close}}`),
    'plan-file': Buffer.from(`{"schema":"raftctl.plan/1","id":${open}${close}}`),
    'cluster-state': Buffer.from(`{"version":1,"nodes":[${open}${close}]}`),
    'protobuf-messages': Buffer.alloc(100_000, 0x0b),
    'kv-command': Buffer.alloc(100_000, 0x0b),
  }
  for (const [name, bytes] of Object.entries(inputs)) assert.is(judge(named(name), bytes, 1, noCounters()), null, name)
})

/** Names that sound like a decoder's and need no entry of their own, and why. */
const COVERED_OTHERWISE: Readonly<Record<string, string>> = {
  'src/storage/protobuf-file.ts readWholeFile': 'reads bytes, of which others make sense',
  'src/storage/protobuf-file.ts readAndClose': 'reads bytes, of which others make sense',
  'src/storage/snapshot-reader.ts LocalSnapshotReader': 'hands out files that others decode',
  'src/rpc/braft-file-reader.ts BraftFileReader': 'asks for bytes, of which others make sense',
  'src/rpc/http.ts readBody': 'reads bytes, of which others make sense',
  'src/rpc/log-record.ts readFailure': 'words for an error',
  'src/raft/user-log.ts readCommittedUserLog': 'hands out entries that were parsed when they were read',
  'src/rpc/grpc-method.ts decoded': 'asks the codec of a message, and those are among the messages',
  'src/rpc/health.ts readinessOf': 'says of a node, reads no bytes',
  'src/rpc/health.ts readyPage': 'makes a page',
}

test('everything exported that decodes, parses or scans is in the registry', () => {
  const covered = new Set(DECODERS.flatMap(({ covers }) => covers))
  const missing: string[] = []
  for (const folder of ['src/rpc', 'src/storage', 'src/raft']) {
    for (const file of readdirSync(ROOT + folder, { encoding: 'utf8', recursive: true }).filter((name) => name.endsWith('.ts'))) {
      const text = readFileSync(`${ROOT}${folder}/${file}`, 'utf8')
      for (const [, name] of text.matchAll(
        /^export (?:async )?(?:function\*?|class|const) ((?:decode|parse|read)\w*|\w+(?:Reader|Decoder|Scan|_CODEC))\b/gm,
      )) {
        const entry = `${folder}/${file} ${name}`
        if (!covered.has(entry) && !(entry in COVERED_OTHERWISE) && !/READ|Reads?$/.test(name!)) missing.push(entry)
      }
    }
  }
  assert.equal(missing, [])
  const all = [...covered].filter((entry) => {
    const [file, name] = entry.split(' ') as [string, string]
    return !new RegExp(`export .*\\b${name}\\b`).test(readFileSync(ROOT + file, 'utf8'))
  })
  assert.equal(all, [], 'said to be covered, and not there')
})

test('the messages of every protocol are among those that are fuzzed, and so is every decoder by a name of its own', () => {
  const names = generatedMessages().map(({ name }) => name)
  for (const wanted of [
    'RequestVoteRequest',
    'AppendEntriesRequest',
    'LocalSnapshotPbMeta',
    'HelloRequest',
    'TxnRequest',
    'StateRecord',
    'ReadLogRequest',
  ])
    assert.ok(
      names.some((name) => name.endsWith(`.${wanted}`)),
      `${wanted} is not among ${names.length} messages`,
    )
  assert.ok(names.length > 100, `${names.length} messages`)
  assert.is(new Set(DECODERS.map(({ name }) => name)).size, DECODERS.length)
})

test('one seed makes one sequence of inputs', () => {
  const inputs = (seed: number) => {
    const found: string[] = []
    const decoder: Decoder = {
      ...{ name: 'spy', covers: [], samples: () => [Buffer.from('sample')] },
      run: (bytes) => {
        found.push(bytes.toString('hex'))
        return { refused: 'spy' }
      },
    }
    fuzz(decoder, { seed, corpus: [], until: (runs) => runs >= 50 })
    return found
  }
  assert.equal(inputs(3), inputs(3))
  assert.not.equal(inputs(3), inputs(4))
  assert.ok(new SeededRandom(1).u32() > 0)
})

test.run()
