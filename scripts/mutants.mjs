// npm run mutants [-- name…]: applies each known bug of test/mutants to a copy of the sources and expects a test to turn red.
//   --mutant-patch FILE: one from outside, a unified diff against the repository. Where its header names no killer, the tests of
//     the area it touches, the stories and --seeds N of the simulator (300) are tried. Exit: 0 killed, 1 survived, 2 no mutant.
//   --jobs N: so many at a time (2). --hazards: only those that braft has.
//   --list: which test tells which situation of the catalogue, and which mutant turns it red; --write-tables: that into test/README.md.
// See test/README.md.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { catalogue, PATCHES, readMutant, readMutants, readStories, writeTables } from './catalogue.mjs'

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    'mutant-patch': { type: 'string', multiple: true, default: [] },
    seeds: { type: 'string', default: '300' },
    jobs: { type: 'string', default: process.env.RAFTCTL_TEST_JOBS ?? '2' },
    hazards: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    'write-tables': { type: 'boolean', default: false },
  },
})
process.exitCode = await main()

async function main() {
  if (options.list) {
    for (const { id, file, mutants } of catalogue()) console.log(`${id} ${file} ${mutants.join(',')}`.trimEnd())
    return 0
  }
  if (options['write-tables']) return writeTables()
  if (options['mutant-patch'].length > 0) return tryFromOutside(options['mutant-patch'])
  const mutants = readMutants().filter(({ name, hazard }) => (wanted.length === 0 || wanted.includes(name)) && (!options.hazards || hazard))
  if (mutants.length === 0 || wanted.some((name) => !mutants.some((mutant) => mutant.name === name))) {
    console.error(`no such mutant: ${wanted.join(' ')}`)
    return 2
  }
  const stories = readStories()
  for (const name of stories.keys()) {
    if (existsSync(join(PATCHES, `${name}.patch`))) continue
    console.log(`ERROR     a story names the mutant ${name}, which does not exist`)
    return 1
  }
  const startedAt = performance.now()
  const counts = await tryAll(mutants, (mutant) => stories.get(mutant.name) ?? [])
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
  console.log(`${counts.killed} killed, ${counts.survived} survived, ${counts.broken} could not be applied, ${seconds} s`)
  return counts.survived + counts.broken > 0 ? 1 : 0
}

async function tryFromOutside(paths) {
  const { battery } = await import('./mutants/trial.mjs')
  const mutants = []
  for (const path of paths) {
    const mutant = existsSync(path) ? readMutant(path) : null
    if (!mutant || mutant.files.length === 0) {
      console.error(mutant ? `${path} is no unified diff` : `${path} does not exist`)
      return 2
    }
    const killers = mutant.killers.length > 0 ? mutant.killers : battery(mutant.files, Number(options.seeds))
    mutants.push({ ...mutant, rule: mutant.rule ?? 'from outside', breaks: mutant.breaks ?? mutant.files.join(', '), killers })
  }
  const { survived, broken } = await tryAll(mutants, () => [])
  return broken > 0 ? 2 : survived > 0 ? 1 : 0
}

/** As many at a time as there are jobs, each on a copy of its own. */
async function tryAll(mutants, storiesOf) {
  const { Bench } = await import('./mutants/bench.mjs')
  const { CleanBench } = await import('./mutants/trial.mjs')
  const counts = { killed: 0, survived: 0, broken: 0 }
  const queue = [...mutants]
  const benches = []
  const open = () => {
    const bench = new Bench()
    benches.push(bench)
    return bench
  }
  const removeAll = () => {
    for (const bench of benches) bench.remove()
  }
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      removeAll()
      process.exit(130)
    })
  }
  try {
    const clean = new CleanBench(open)
    const work = async () => {
      const bench = open()
      for (let mutant = queue.shift(); mutant; mutant = queue.shift()) counts[await tryOne(mutant, bench, clean, storiesOf(mutant))]++
    }
    await Promise.all(Array.from({ length: Math.min(Math.max(1, Number(options.jobs)), queue.length) }, work))
  } finally {
    removeAll()
  }
  return counts
}

async function tryOne(mutant, bench, clean, stories) {
  const { Trial } = await import('./mutants/trial.mjs')
  const since = performance.now()
  const problem = mutant.killers.length === 0 || !mutant.rule ? 'its header names no rule or no killer' : bench.apply(mutant)
  try {
    if (problem) {
      console.log(`ERROR     ${mutant.name}: ${problem}`)
      return 'broken'
    }
    const trial = new Trial(bench, clean)
    const killedBy = await trial.killedBy(mutant.killers)
    const green = await trial.greenStories(stories)
    const seconds = ((performance.now() - since) / 1000).toFixed(1)
    for (const title of green) console.log(`GREEN     ${mutant.name} leaves this story green, which names it: ${title}`)
    console.log(
      killedBy ? `killed    ${mutant.name} (${seconds} s) by ${killedBy}` : `SURVIVED  ${mutant.name} (${seconds} s): ${mutant.breaks}`,
    )
    return killedBy && green.length === 0 ? 'killed' : 'survived'
  } finally {
    bench.restore(mutant)
  }
}
