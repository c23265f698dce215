// A client of a key-value cluster: node dist/examples/key-value.js HOST:PORT[,HOST:PORT…] KEY [TIMES]
// Adds one to the number under KEY, TIMES times, however many others do the same. A program of your own imports from 'raftctl'.
import { KvClient, OutcomeUnknownError } from '../src/index.js'

const [endpoints, key, times = '1'] = process.argv.slice(2)
if (endpoints === undefined || key === undefined)
  throw new Error('usage: node dist/examples/key-value.js HOST:PORT[,HOST:PORT…] KEY [TIMES]')

const kv = new KvClient({ endpoints: endpoints.split(','), timeoutMs: 10_000 })

/** Adds one to what is there. Whoever was faster makes `cas` say no, and it is read again. */
async function increment(): Promise<number> {
  for (;;) {
    const { item } = await kv.get(key!)
    const sum = Number(item?.value ?? 0) + 1
    const { swapped } = await kv.cas(key!, item ? { modRevision: item.modRevision } : { absent: true }, `${sum}`)
    if (swapped) return sum
  }
}

try {
  let sum = 0
  for (let i = 0; i < Number(times); i++) sum = await increment()
  process.stdout.write(`${sum}\n`)
} catch (error) {
  // The client has sent it again for as long as it may, under the same number: it was applied once, or never.
  if (!(error instanceof OutcomeUnknownError)) throw error
  process.stderr.write(`one increment may have been applied: ${error.message}\n`)
  process.exitCode = 1
} finally {
  kv.close()
}
