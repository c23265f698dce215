// What `npm run sim` understands.

const USAGE = `usage: npm run sim -- [options]
  --seeds N              how many seeds to run (default 100)
  --from S               the first seed (default 1)
  --size N               of those seeds only the ones whose groups are founded by N members
  --groups N             of those seeds only the ones with N groups
  --seed S               replays one seed and prints the end of its trace and its hash
  --replay FILE          runs a script that --minimise wrote
  --trace                with --seed or --replay: prints every event
  --minimise             with --seed or --replay: cuts a failing run down to the decisions and the world that it needs
  --out FILE             with --minimise: where the script goes (default: it is printed)
  --check-determinism K  runs K seeds twice and compares the trace hashes
  --time-limit SECONDS   stops after that much real time; what has run must still meet the floors
  --points               prints how often each named point of the code was reached, and struck
  --keep-going           runs the remaining seeds after a violation`

export interface Options {
  seeds: number
  from: number
  size: number | null
  groups: number | null
  seed: number | null
  replay: string | null
  trace: boolean
  minimise: boolean
  out: string | null
  determinism: number
  timeLimitS: number
  keepGoing: boolean
  points: boolean
}

export function parseOptions(args: readonly string[]): Options {
  const options: Options = {
    seeds: 100,
    from: 1,
    size: null,
    groups: null,
    seed: null,
    replay: null,
    trace: false,
    minimise: false,
    out: null,
    determinism: 0,
    timeLimitS: Infinity,
    keepGoing: false,
    points: false,
  }
  for (let i = 0; i < args.length; i++) {
    const text = (): string => args[++i] ?? fail(`${args[i - 1]} takes a value`)
    const number = (): number => {
      const value = Number(args[++i])
      if (!Number.isInteger(value) || value < 0) fail(`${args[i - 1]} takes a number`)
      return value
    }
    switch (args[i]) {
      case '--seeds':
        options.seeds = number()
        break
      case '--from':
        options.from = number()
        break
      case '--size':
        options.size = number()
        break
      case '--groups':
        options.groups = number()
        break
      case '--seed':
        options.seed = number()
        break
      case '--replay':
        options.replay = text()
        break
      case '--minimise':
        options.minimise = true
        break
      case '--out':
        options.out = text()
        break
      case '--trace':
        options.trace = true
        break
      case '--check-determinism':
        options.determinism = number()
        break
      case '--time-limit':
        options.timeLimitS = number()
        break
      case '--points':
        options.points = true
        break
      case '--keep-going':
        options.keepGoing = true
        break
      default:
        fail(`unknown option ${args[i]}`)
    }
  }
  return options
}

function fail(message: string): never {
  console.error(`${message}\n${USAGE}`)
  process.exit(2)
}
