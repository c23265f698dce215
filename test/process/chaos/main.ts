import { runChaos } from './chaos-run.js'
import { belowFloors, ChaosCounts } from './counts.js'

const USAGE = `usage: npm run chaos:soak -- [options]
  --minutes M   how long (default 30)
  --seconds S   the same in seconds
  --seed N      what is done, in which order (default 1)
  --nodes N     members of a cluster (default: 3 and 5 in turns)
  --keep        keeps data, logs and history also when all is well
  --quiet       only the last lines`

/** A cluster lives so long at most; then a new one, of the other size, takes its place. */
const ROUND_SECONDS = 300

interface Options {
  seconds: number
  seed: number
  nodes: number | null
  keep: boolean
  quiet: boolean
}

function parse(args: readonly string[]): Options {
  const options: Options = { seconds: 1800, seed: 1, nodes: null, keep: false, quiet: false }
  for (let i = 0; i < args.length; i++) {
    const number = (): number => {
      const value = Number(args[++i])
      if (!Number.isFinite(value) || value <= 0) fail(`${args[i - 1]} takes a number`)
      return value
    }
    if (args[i] === '--minutes') options.seconds = number() * 60
    else if (args[i] === '--seconds') options.seconds = number()
    else if (args[i] === '--seed') options.seed = number()
    else if (args[i] === '--nodes') options.nodes = number()
    else if (args[i] === '--keep') options.keep = true
    else if (args[i] === '--quiet') options.quiet = true
    else fail(`unknown option ${args[i]}`)
  }
  return options
}

function fail(message: string): never {
  console.error(`${message}\n${USAGE}`)
  process.exit(2)
}

async function main(): Promise<number> {
  const options = parse(process.argv.slice(2))
  const totals = new ChaosCounts()
  const rounds = Math.ceil(options.seconds / ROUND_SECONDS)
  const verdicts = new Set<string>()
  let failed = false
  for (let round = 0; round < rounds && !failed; round++) {
    const seconds = options.seconds / rounds
    const size = options.nodes ?? (round % 2 === 0 ? 3 : 5)
    const seed = options.seed + round
    const result = await runChaos({
      size,
      seconds,
      seed,
      keep: options.keep,
      ...(options.quiet ? {} : { onNote: (line) => console.log(line) }),
    })
    console.log(
      `nodes=${size} seed=${seed} seconds=${seconds.toFixed(0)} ${result.counts} linearizable=${result.linearizable} (disks filled by ${result.fullBy})`,
    )
    for (const problem of result.problems) console.log(problem)
    if (result.kept) console.log(`kept: ${result.kept}`)
    totals.add(result.counts)
    verdicts.add(result.linearizable)
    failed = result.problems.length > 0
  }
  const minutes = options.seconds / 60
  const verdict = ['no', 'not judged', 'undecided'].find((one) => verdicts.has(one)) ?? 'yes'
  console.log(`minutes=${minutes.toFixed(1)} ${totals} linearizable=${verdict}`)
  const low = minutes >= 1 && !failed ? belowFloors(totals, minutes) : []
  if (low.length > 0) console.log(`this run proves nothing: ${low.join(', ')}`)
  return failed || low.length > 0 ? 1 : 0
}

process.exitCode = await main()
