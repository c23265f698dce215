// What becomes of one mutant on a bench: who noticed it, and which stories did not although they say that they do.
import { existsSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ROOT } from './bench.mjs'

/** These run mutants themselves, or count them. */
const NO_KILLERS = new Set(['test/scenario/mutants.test', 'test/scenario/catalogue.test'])

export class Trial {
  constructor(bench, clean) {
    this.bench = bench
    this.clean = clean
    /** Red tests by compiled file, so that nothing runs twice. */
    this.red = new Map()
  }

  /** Who turns red first, in words; null when nobody does. */
  async killedBy(killers) {
    for (const killer of killers) {
      const found = await this.run(killer)
      if (found) return found
    }
    return null
  }

  /** `sim N`: an invariant breaks within N seeds. `floors N`: too little happens in N seeds. `test FILE ID`: a test whose title begins with that id must be among the red ones. */
  async run(killer) {
    const [kind, target, id] = killer.split(' ')
    if (kind === 'floors') {
      const low = await this.bench.belowFloors(target)
      return low && `the floors of the simulator, in ${target} seeds: ${low}`
    }
    if (kind === 'sim') {
      const found = await this.bench.violation(target)
      if (!found || !(await this.clean.isSeedGreen(found.seed))) return null
      return `the simulator, after ${found.tried} seeds (seed ${found.seed}): ${found.what}`
    }
    const failed = await this.redTests(target)
    const title = id ? failed.find((text) => text.includes(`"${id} `)) : failed[0]
    return title ? `${target}: ${title}` : null
  }

  /** Titles of stories that stay green although they name this mutant. */
  async greenStories(stories) {
    const green = []
    for (const { target, title } of stories) {
      const failed = await this.redTests(target)
      if (!failed.some((text) => text.startsWith(`"${title}"`))) green.push(title)
    }
    return green
  }

  /** A test that is red without the mutant kills nothing. */
  async redTests(target) {
    if (!this.red.has(target)) {
      const failed = await this.bench.redTests(target)
      const before = failed.length > 0 ? await this.clean.redTests(target) : []
      this.red.set(
        target,
        failed.filter((title) => !before.includes(title)),
      )
    }
    return this.red.get(target)
  }
}

/** The copy without a mutant; what it said once it says again. */
export class CleanBench {
  constructor(open) {
    this.open = open
    this.opened = null
    this.tests = new Map()
    this.seeds = new Map()
  }

  get bench() {
    this.opened ??= this.open()
    return this.opened
  }

  redTests(target) {
    if (!this.tests.has(target)) this.tests.set(target, this.bench.redTests(target))
    return this.tests.get(target)
  }

  isSeedGreen(seed) {
    if (!this.seeds.has(seed)) this.seeds.set(seed, this.bench.isSeedGreen(seed))
    return this.seeds.get(seed)
  }
}

/** For a patch that names no killer: the tests of the files it touches, those of their folders, the stories, the simulator. */
export function battery(files, seeds) {
  const folders = [...new Set(files.map((file) => file.split('/')[file.startsWith('src/machines/') ? 2 : 1]))]
  const own = files.map((file) => `test/unit/${file.replace(/^src\/(machines\/)?/, '').replace(/\.ts$/, '.test')}`)
  const units = folders.flatMap((folder) => testsIn(`test/unit/${folder}`))
  const tests = [...new Set([...own.filter((target) => units.includes(target)), ...units, ...testsIn('test/scenario')])]
  return [...tests.filter((target) => !NO_KILLERS.has(target)).map((target) => `test ${target}`), `sim ${seeds}`]
}

function testsIn(folder) {
  if (!existsSync(join(ROOT, folder))) return []
  return readdirSync(join(ROOT, folder))
    .filter((file) => file.endsWith('.test.ts'))
    .sort()
    .map((file) => `${folder}/${basename(file, '.ts')}`)
}
