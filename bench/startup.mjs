// How long commands take to start, against a bare node. Medians of 15 runs, taken in turns so that a busy moment hits all alike.
//   node bench/startup.mjs [--runs 15] [-- more arguments of raftctl to measure]
// `status` is measured when the current context answers (raftctl cluster start).
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const bin = join(dirname(fileURLToPath(import.meta.url)), '..', 'bin', 'run.js')
const { values, positionals } = parseArgs({ allowPositionals: true, options: { runs: { type: 'string', default: '15' } } })
const runs = Number(values.runs)

const cases = [
  { name: 'node -e 0', args: ['-e', '0'] },
  { name: 'raftctl --version', args: [bin, '--version'], ratioMax: 3, msMax: 200 },
  { name: 'raftctl --help', args: [bin, '--help'], ratioMax: 3, msMax: 200 },
  { name: 'raftctl context list', args: [bin, 'context', 'list'], ratioMax: 3.5 },
  { name: 'raftctl status', args: [bin, 'status'], ratioMax: 5, msMax: 350 },
  ...(positionals.length > 0 ? [{ name: `raftctl ${positionals.join(' ')}`, args: [bin, ...positionals] }] : []),
]

const measured = cases.filter(({ name, args }) => {
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  // 3 is an answer (unhealthy); everything else says that there was nothing to measure.
  if (status === 0 || status === 3) return true
  console.log(`${name}: left out, it exits ${status}: ${stderr.trim().split('\n')[0]}`)
  return false
})
const times = new Map(measured.map(({ name }) => [name, []]))
for (let run = 0; run < runs; run++) {
  for (const { name, args } of measured) {
    const startedAt = process.hrtime.bigint()
    spawnSync(process.execPath, args, { stdio: 'ignore' })
    times.get(name).push(Number(process.hrtime.bigint() - startedAt) / 1e6)
  }
}

const bare = median(times.get('node -e 0'))
for (const { name, ratioMax, msMax } of measured) {
  const ms = median(times.get(name))
  const ratio = ms / bare
  const budget = [ratioMax && `${ratioMax} x`, msMax && `${msMax} ms`].filter(Boolean).join(' and ')
  const within = (ratioMax === undefined || ratio <= ratioMax) && (msMax === undefined || ms <= msMax)
  console.log(
    `${name.padEnd(24)} ${ms.toFixed(0).padStart(5)} ms  ${ratio.toFixed(2)} x${budget ? `  ${within ? 'within' : 'OVER'} its budget of ${budget}` : ''}`,
  )
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]
}
