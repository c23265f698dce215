import { readFileSync, writeFileSync } from 'node:fs'
import type { PointCount } from './armed-points.js'
import { belowFloors, missedPoints } from './floors.js'
import { type Options, parseOptions } from './main-options.js'
import { Minimiser } from './minimiser.js'
import { formatScript, parseScript, type Script } from './script.js'
import { type Counters, Swarm, type SwarmResult } from './swarm.js'
import { planOf } from './swarm-plan.js'

/** One run, told in full. */
function tell(swarm: Swarm, trace: boolean): number {
  if (trace) swarm.cluster.scheduler.onTrace = (line) => console.log(line)
  const result = swarm.run()
  if (!trace) for (const line of swarm.cluster.scheduler.tail(60)) console.log(line)
  const { seed } = result.world.cluster
  console.log(JSON.stringify(result.world))
  console.log(`seed=${seed} hash=${result.hash} simS=${(result.simMs / 1000).toFixed(1)} events=${result.events}`)
  if (result.violation) console.log(`VIOLATION ${result.violation}`)
  return result.violation ? 1 : 0
}

function minimise(script: Script, origin: string, out: string | null): number {
  const onProgress = (text: string): void => console.error(text)
  const minimised = new Minimiser(script, { onProgress }).minimise()
  if (!minimised) {
    console.error(`${origin} does not fail`)
    return 1
  }
  const [violation] = minimised.violation.split('\n')
  const text = formatScript(minimised.script, [`${origin}, cut down in ${minimised.runs} runs: ${violation}`])
  if (out === null) console.log(text)
  else writeFileSync(out, text)
  return 0
}

/** The script of a seed's run as far as it came. */
function scriptOfSeed(seed: number): Script {
  const swarm = Swarm.ofSeed(seed)
  swarm.run()
  return swarm.script
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
  const { seed } = result.world.cluster
  console.log(`  replay: npm run sim -- --seed ${seed}; cut down: npm run sim -- --seed ${seed} --minimise`)
}

/** How fast the time of runs of one group of three nodes passes: by the clock on the wall, and by what the processor spent on them. */
class Speed {
  private simMs = 0
  private realMs = 0
  private cpuMs = 0

  of(run: () => SwarmResult): SwarmResult {
    const startedAt = performance.now()
    const before = process.cpuUsage()
    const result = run()
    const { user, system } = process.cpuUsage(before)
    this.realMs += performance.now() - startedAt
    this.cpuMs += (user + system) / 1000
    this.simMs += result.simMs
    return result
  }

  toString(): string {
    if (this.simMs === 0) return ''
    return ` speed3=${(this.simMs / this.realMs).toFixed(1)} speed3Cpu=${(this.simMs / this.cpuMs).toFixed(1)}`
  }
}

function runSeeds(options: Options): number {
  const startedAt = performance.now()
  const totals: Counters = {}
  const points = new Map<string, PointCount>()
  let simMs = 0
  let done = 0
  const ofThree = new Speed()
  for (let seed = options.from; seed < options.from + options.seeds; seed++) {
    const { world } = planOf(seed)
    const { size } = world.cluster
    if ((options.size ?? size) !== size || (options.groups ?? world.groups) !== world.groups) continue
    if (performance.now() - startedAt > options.timeLimitS * 1000) break
    const run = (): SwarmResult => Swarm.ofSeed(seed).run()
    const result = size === 3 && world.groups === 1 ? ofThree.of(run) : run()
    done++
    simMs += result.simMs
    for (const [name, value] of Object.entries(result.counters)) totals[name] = (totals[name] ?? 0) + value
    addPoints(points, result.points)
    if (!result.violation) continue
    report(result)
    if (!options.keepGoing) break
  }
  const realS = (performance.now() - startedAt) / 1000
  const counters = Object.entries(totals).map(([name, value]) => `${name}=${value}`)
  console.log(`seeds=${done} simS=${(simMs / 1000).toFixed(0)} realS=${realS.toFixed(1)}${ofThree} ${counters.join(' ')}`)
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
  const options = parseOptions(process.argv.slice(2))
  const { seed, replay } = options
  if (replay !== null) {
    const script = parseScript(readFileSync(replay, 'utf8'))
    return options.minimise ? minimise(script, replay, options.out) : tell(Swarm.ofScript(script), options.trace)
  }
  if (seed !== null)
    return options.minimise ? minimise(scriptOfSeed(seed), `seed ${seed}`, options.out) : tell(Swarm.ofSeed(seed), options.trace)
  if (options.determinism > 0) return checkDeterminism(options)
  return runSeeds(options)
}

process.exitCode = main()
