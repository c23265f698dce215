import type { PointCount } from './armed-points.js'
import { belowFloors, missedPoints } from './floors.js'
import { type Counters, Swarm, type SwarmResult } from './swarm.js'

const USAGE = `usage: npm run sim -- [options]
  --seeds N              how many seeds to run (default 100)
  --from S               the first seed (default 1)
  --seed S               replays one seed and prints the end of its trace and its hash
  --trace                with --seed: prints every event
  --check-determinism K  runs K seeds twice and compares the trace hashes
  --time-limit SECONDS   stops after that much real time; what has run must still meet the floors
  --points               prints how often each named point of the code was reached, and struck
  --keep-going           runs the remaining seeds after a violation`

interface Options {
  seeds: number
  from: number
  seed: number | null
  trace: boolean
  determinism: number
  timeLimitS: number
  keepGoing: boolean
  points: boolean
}

function parse(args: readonly string[]): Options {
  const options: Options = {
    seeds: 100,
    from: 1,
    seed: null,
    trace: false,
    determinism: 0,
    timeLimitS: Infinity,
    keepGoing: false,
    points: false,
  }
  for (let i = 0; i < args.length; i++) {
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
      case '--seed':
        options.seed = number()
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

/** One seed, told in full. */
function replay(seed: number, trace: boolean): number {
  const swarm = Swarm.ofSeed(seed)
  if (trace) swarm.cluster.scheduler.onTrace = (line) => console.log(line)
  const result = swarm.run()
  if (!trace) for (const line of swarm.cluster.scheduler.tail(60)) console.log(line)
  console.log(JSON.stringify(result.world))
  console.log(`seed=${seed} hash=${result.hash} simS=${(result.simMs / 1000).toFixed(1)} events=${result.events}`)
  if (result.violation) console.log(`VIOLATION ${result.violation}`)
  return result.violation ? 1 : 0
}

function checkDeterminism(options: Options): number {
  let different = 0
  for (let seed = options.from; seed < options.from + options.determinism; seed++) {
    const [first, second] = [Swarm.ofSeed(seed).run(), Swarm.ofSeed(seed).run()]
    if (first.hash === second.hash && first.events === second.events) continue
    different++
    console.log(`seed ${seed} is not deterministic: ${first.hash} after ${first.events} events, then ${second.hash} after ${second.events}`)
  }
  console.log(`determinism: seeds=${options.determinism} different=${different}`)
  return different > 0 ? 1 : 0
}

function report(result: SwarmResult): void {
  console.log(`seed ${result.world.cluster.seed} VIOLATION after ${result.simMs.toFixed(3)} ms: ${result.violation}`)
  for (const line of result.tail.slice(-40)) console.log(`  ${line}`)
  console.log(`  replay: npm run sim -- --seed ${result.world.cluster.seed}`)
}

function runSeeds(options: Options): number {
  const startedAt = performance.now()
  const totals: Counters = {}
  const points = new Map<string, PointCount>()
  let simMs = 0
  let done = 0
  let threeNodeSimMs = 0
  let threeNodeRealMs = 0
  for (let seed = options.from; seed < options.from + options.seeds; seed++) {
    const seedStartedAt = performance.now()
    if (seedStartedAt - startedAt > options.timeLimitS * 1000) break
    const result = Swarm.ofSeed(seed).run()
    done++
    simMs += result.simMs
    if (result.world.cluster.size === 3) {
      threeNodeSimMs += result.simMs
      threeNodeRealMs += performance.now() - seedStartedAt
    }
    for (const [name, value] of Object.entries(result.counters)) totals[name] = (totals[name] ?? 0) + value
    addPoints(points, result.points)
    if (!result.violation) continue
    report(result)
    if (!options.keepGoing) break
  }
  const realS = (performance.now() - startedAt) / 1000
  const speed = threeNodeRealMs > 0 ? ` speed3=${(threeNodeSimMs / threeNodeRealMs).toFixed(1)}` : ''
  const counters = Object.entries(totals).map(([name, value]) => `${name}=${value}`)
  console.log(`seeds=${done} simS=${(simMs / 1000).toFixed(0)} realS=${realS.toFixed(1)}${speed} ${counters.join(' ')}`)
  if (options.points) for (const [name, { hits, strikes }] of points) console.log(`  ${name} reached=${hits} struck=${strikes}`)
  if ((totals['violations'] ?? 0) > 0) return 1
  const low = [...belowFloors(totals, done), ...missedPoints(points, done)]
  // A handful of seeds may lack a kind of fault; from 50 on, too little of anything means that nothing was tested.
  if (done === 0 || (done >= 50 && low.length > 0)) {
    console.log(`this run proves nothing: ${done === 0 ? 'no seed ran' : low.join(', ')}`)
    return 1
  }
  return 0
}

function addPoints(totals: Map<string, PointCount>, counts: ReadonlyMap<string, PointCount>): void {
  for (const [name, { hits, strikes }] of counts) {
    const total = totals.get(name) ?? { hits: 0, strikes: 0 }
    totals.set(name, { hits: total.hits + hits, strikes: total.strikes + strikes })
  }
}

function main(): number {
  const options = parse(process.argv.slice(2))
  if (options.seed !== null) return replay(options.seed, options.trace)
  if (options.determinism > 0) return checkDeterminism(options)
  return runSeeds(options)
}

process.exitCode = main()
