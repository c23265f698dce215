import { lookup } from 'node:dns/promises'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SimRandom } from '../../src/testing/sim-random.js'
import { BraftBinaries } from './binaries.js'
import { belowFloors, InteropCounts } from './interop-counts.js'
import { type InteropOptions, parseOptions } from './options.js'
import type { Scenario, Scene } from './scenario.js'
import { SCENARIOS } from './scenarios/index.js'

const USAGE = `usage: node scripts/interop.mjs --braft DIR [--minutes N] [--seed N] [--keep] [--quiet] [SCENARIO...]
  --braft DIR   where the programs of braft lie: its examples' servers and clients, and braft_cli
  --minutes N   how long a scenario under load takes (default 10)
  --seed N      what is done, in which order (default 1)
  --keep        keeps directories, logs and diary also when all is well
  --quiet       only the last line of each scenario

${SCENARIOS.map(({ name, about }) => `  ${name.padEnd(24)}${about}`).join('\n')}`

const KEPT = fileURLToPath(new URL('../../interop/', import.meta.url))

async function main(): Promise<number> {
  const parsed = parseOptions(
    process.argv.slice(2),
    SCENARIOS.map(({ name }) => name),
  )
  if ('problem' in parsed) {
    console.error(`${parsed.problem}\n${USAGE}`)
    return 2
  }
  const { options } = parsed
  const chosen = options.scenarios.map((name) => SCENARIOS.find((scenario) => scenario.name === name)!)
  const binaries = new BraftBinaries(options.braft)
  const missing = binaries.missing(chosen.flatMap(({ needs }) => needs))
  if (missing.length > 0) {
    console.error(
      `${options.braft} lacks ${missing.join(', ')}\nBuild them from braft's examples and tools, and put them there under these names.`,
    )
    return 2
  }
  const { address: host } = await lookup(hostname(), 4)
  let failed = false
  for (const scenario of chosen) failed = !(await play(scenario, options, binaries, host)) || failed
  return failed ? 1 : 0
}

/** One scenario in a directory of its own; prints its line, and what is wrong. */
async function play(scenario: Scenario, options: InteropOptions, binaries: BraftBinaries, host: string): Promise<boolean> {
  const home = mkdtempSync(join(tmpdir(), 'raftctl-interop-'))
  const startedAt = performance.now()
  const diary: string[] = []
  const counts = new InteropCounts()
  const problems: string[] = []
  const note = (text: string) => {
    const line = `${((performance.now() - startedAt) / 1000).toFixed(3).padStart(8)} s  ${text}`
    diary.push(line)
    if (!options.quiet) console.log(line)
  }
  const random = new SimRandom(options.seed).fork(scenario.name)
  const scene: Scene = { minutes: options.minutes, random, counts, binaries, host, home, problems, note }
  await scenario.run(scene).catch((error: Error) => problems.push(error.stack ?? error.message))
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
  console.log(`scenario=${scenario.name} seed=${options.seed} seconds=${seconds} ${counts}`)
  if (problems.length === 0)
    problems.push(...belowFloors(counts, scenario.floors(options.minutes)).map((low) => `this run proves nothing: ${low}`))
  for (const problem of problems) console.log(problem)
  if (problems.length > 0 || options.keep) keep(home, scenario.name, diary, problems)
  rmSync(home, { recursive: true, force: true })
  return problems.length === 0
}

function keep(home: string, name: string, diary: readonly string[], problems: readonly string[]): void {
  writeFileSync(join(home, 'diary.txt'), `${diary.join('\n')}\n`)
  writeFileSync(join(home, 'problems.txt'), `${problems.join('\n\n')}\n`)
  const place = join(KEPT, `${name}-${process.pid}`)
  cpSync(home, place, { recursive: true })
  console.log(`kept: ${place}`)
}

process.exitCode = await main()
