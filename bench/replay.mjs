// How fast a member that starts again has its log back: opening it (every header is verified) and applying all of it (every byte is).
//   node bench/replay.mjs [--entries 2000000] [--bytes 16,128] [--rounds 3] [--dir .] [--json FILE] [--profile DIR]
// The log is written by the library, a megabyte a batch; each round a new process is the only member of its group and starts on it.
// Beside it the limit: the same files read from start to end by one loop. All come out of the page cache where memory suffices.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { plainReads } from './lib/disk.mjs'
import { workDirectory } from './lib/members.mjs'
import { Report, ratio } from './lib/report.mjs'
import { inTurns } from './lib/turns.mjs'
import { writtenLog } from './lib/written-log.mjs'

const { values } = parseArgs({
  options: {
    entries: { type: 'string', default: '2000000' },
    bytes: { type: 'string', default: '16,128' },
    rounds: { type: 'string', default: '3' },
    dir: { type: 'string', default: '.' },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
})
const [entries, rounds] = [values.entries, values.rounds].map(Number)
const directory = workDirectory(values.dir)
const report = new Report('a log replayed by a member that starts again', { entries, rounds })
const replayer = fileURLToPath(new URL('lib/replayer.mjs', import.meta.url))
const execArgv = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`]

for (const bytes of values.bytes.split(',').map(Number)) {
  const data = join(directory, `of-${bytes}`)
  mkdirSync(data)
  const { logBytes, tookMs } = await writtenLog({ directory: data, entries, bytes })
  console.error(`${entries} entries of ${bytes} bytes written in ${(tookMs / 1000).toFixed(1)} s`)
  const sides = { read: () => plainReads(join(data, 'log')), member: () => replayed(data) }
  const { read, member } = await inTurns(sides, {
    rounds,
    onMeasured: (name, { ms }) => console.error(`${bytes} bytes  ${name}  ${ms.toFixed(0)} ms`),
  })
  const perSecond = (ms) => (entries * 1000) / ms
  report.row({
    bytes,
    'log MB': logBytes / 1e6,
    'open ms': member.openMs,
    'opened entries/s': perSecond(member.openMs),
    'apply ms': member.applyMs,
    'applied entries/s': perSecond(member.applyMs),
    'replayed entries/s': perSecond(member.ms),
    'replayed MB/s': logBytes / 1000 / member.ms,
    'open cpu us/entry': member.openCpuUs,
    'cpu us/entry': member.cpuUs,
    'plain read MB/s': logBytes / 1000 / read.ms,
    'plain reads': ratio(member.ms, read.ms),
    'resident MB': member.residentMb,
  })
  rmSync(data, { recursive: true })
}
report.print(values.json)

/** In a process of its own, as cold as one that was started again. */
async function replayed(data) {
  const child = fork(replayer, [data, String(entries)], { execArgv })
  const ended = once(child, 'exit')
  const [answer] = await Promise.race([
    once(child, 'message'),
    ended.then(([code]) => Promise.reject(new Error(`a member ended with ${code}`))),
  ])
  await ended
  if (answer.problem) throw new Error(answer.problem)
  return answer
}
