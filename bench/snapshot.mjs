// How fast the key-value machine saves, loads and hashes a large state on this disk, and how long it holds the event loop meanwhile.
//   node bench/snapshot.mjs [--keys 1000000] [--value-bytes 16] [--dir .]
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { raftctl } from '../dist/src/generated/kv.js'
import { encodeMark } from '../dist/src/machines/kv/mark.js'
import { KvStateMachine } from '../dist/src/machines/kv/state-machine.js'
import { Status } from '../dist/src/raft/errors.js'
import { ProductionClock } from '../dist/src/server/clock.js'
import { EventLoopExecutor } from '../dist/src/server/executor.js'
import { NodeFileSystem } from '../dist/src/storage/node-file-system.js'

const { values } = parseArgs({
  options: {
    keys: { type: 'string', default: '1000000' },
    'value-bytes': { type: 'string', default: '16' },
    dir: { type: 'string', default: '.' },
  },
})
const keys = Number(values.keys)
const executor = new EventLoopExecutor()
const clock = new ProductionClock(executor)
const pace = { executor, clock }
const directory = mkdtempSync(join(values.dir, 'snapshot-bench-'))

const fileMetas = new Map()
const files = {
  fileSystem: new NodeFileSystem(executor),
  path: directory,
  addFile: (name, meta) => {
    fileMetas.set(name, meta)
    return Status.OK
  },
  files: () => [...fileMetas.keys()],
  fileMeta: (name) => fileMetas.get(name) ?? null,
  meta: { lastIncluded: { index: keys, term: 1 } },
}

try {
  const machine = new KvStateMachine(pace)
  const value = Buffer.alloc(Number(values['value-bytes']), 'v')
  for (let i = 0; i < keys; i++) {
    const put = { key: Buffer.from(`key/${String(i).padStart(8, '0')}`), value }
    machine.applyCommand(raftctl.kv.Command.encode({ put }).finish(), i + 1)
  }
  console.log(`${keys.toLocaleString()} keys, values of ${value.length} bytes, ${megabytes(process.memoryUsage().heapUsed)} MB of heap`)

  const start = performance.now()
  const frozen = machine.freeze()
  console.log(`freeze         ${(performance.now() - start).toFixed(2)} ms`)
  frozen.store.release()

  let hash = ''
  machine.applyCommand(encodeMark(1), keys + 1)
  await measured('hash', (done) =>
    machine.hashAt(keys + 1, (status, result) => {
      hash = result?.sha256
      done(status)
    }),
  )
  await measured('save', (done) => machine.onSnapshotSave(files, done))
  const loaded = new KvStateMachine(pace)
  await measured('load', (done) => loaded.onSnapshotLoad(files, done))
  if (loaded.stateHash() !== hash) throw new Error('the state that was loaded is another one')
} finally {
  rmSync(directory, { recursive: true })
  clock.stop()
}

async function measured(name, run) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  let longestTurn = 0
  let last = performance.now()
  let running = true
  const turn = () => {
    const now = performance.now()
    longestTurn = Math.max(longestTurn, now - last)
    last = now
    if (running) setImmediate(turn)
  }
  delay.enable()
  setImmediate(turn)
  const start = performance.now()
  const status = await new Promise((done) => executor.post(() => run(done), 'bench'))
  const seconds = (performance.now() - start) / 1000
  running = false
  delay.disable()
  if (!status.ok) throw new Error(`${name}: ${status}`)
  const p99 = (delay.percentile(99) / 1e6).toFixed(1)
  console.log(
    `${name.padEnd(14)} ${seconds.toFixed(2)} s, ${Math.round(keys / seconds).toLocaleString()} keys/s; longest turn of the event loop ${longestTurn.toFixed(1)} ms, p99 of its delay ${p99} ms`,
  )
}

function megabytes(bytes) {
  return Math.round(bytes / 1024 / 1024)
}
