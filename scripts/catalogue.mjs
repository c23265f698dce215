// Which test tells which situation of the catalogue, and which mutant turns it red: read from the tests and the patches.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
export const PATCHES = join(ROOT, 'test/mutants')
const SCENARIOS = join(ROOT, 'test/scenario')
const README = join(ROOT, 'test/README.md')
const MUTANT_HEAD = '| rule | mutant | what it breaks | what turns red |\n|---|---|---|---|\n'
const HAZARD_HEAD = '| hazard of braft | mutants |\n|---|---|\n'
const CATALOGUE_HEAD = '| id | tests | mutants that turn it red |\n|---|---|---|\n'

export function readMutants() {
  return readdirSync(PATCHES)
    .filter((file) => file.endsWith('.patch'))
    .sort()
    .map((file) => readMutant(join(PATCHES, file)))
}

/** A patch with its header: the rule it breaks, how, which hazard of braft it is, and which runs must notice, cheapest first. */
export function readMutant(path) {
  const text = readFileSync(path, 'utf8')
  const header = text.slice(0, Math.max(0, text.search(/^(--- |diff )/m)))
  const field = (name) => [...header.matchAll(new RegExp(`^${name}: (.+)$`, 'gm'))].map((match) => match[1])
  const targets = [...text.matchAll(/^\+\+\+ ([^\t\n]+)/gm)].map((match) => match[1])
  const strip = targets.every((file) => file.startsWith('b/')) ? 1 : 0
  return {
    name: basename(path).replace(/\.(patch|diff)$/, ''),
    path: resolve(path),
    strip,
    rule: field('rule')[0],
    breaks: field('breaks')[0],
    hazard: field('hazard')[0],
    killers: field('killed-by'),
    files: targets.map((file) => (strip === 1 ? file.slice(2) : file)),
  }
}

/** Stories that say which mutant turns them red, by mutant: the promise is kept to the letter. */
export function readStories() {
  const stories = new Map()
  for (const file of readdirSync(SCENARIOS).filter((name) => name.endsWith('.test.ts'))) {
    const text = readFileSync(join(SCENARIOS, file), 'utf8')
    const found = [...text.matchAll(/scenario\(\s*(['`"])(.+?)\1,\s*\{[^{}]*killedBy: '([^']+)'/g)]
    if (found.length !== text.split('killedBy: ').length - 1) throw new Error(`${file}: a story names its mutant where it is not read`)
    for (const [, , title, mutant] of found) {
      stories.set(mutant, [...(stories.get(mutant) ?? []), { title, target: `test/scenario/${file.replace(/\.ts$/, '')}` }])
    }
  }
  return stories
}

/** One row for each id and file in which a test's title begins with that id, with the mutants that turn a test of that id there red. */
export function catalogue() {
  const rows = new Map()
  for (const file of readdirSync(join(ROOT, 'test'), { recursive: true }).filter((name) => name.endsWith('.test.ts'))) {
    const text = readFileSync(join(ROOT, 'test', file), 'utf8')
    for (const [, , id] of text.matchAll(/\b(?:test\(|scenario\(|overEach\(test,)\s*(['`"])([A-J]\d\d) /g)) {
      const short = file.replace(/\.test\.ts$/, '')
      rows.set(`${id} ${short}`, { id, file: short, mutants: [] })
    }
  }
  const link = (id, target, mutant) => {
    const row = rows.get(`${id} ${target.replace(/^test\/|\.test$/g, '')}`)
    if (!row) throw new Error(`${mutant} is said to turn ${id} of ${target} red, which does not exist`)
    if (!row.mutants.includes(mutant)) row.mutants.push(mutant)
  }
  for (const [mutant, stories] of readStories())
    for (const { title, target } of stories) if (/^[A-J]\d\d /.test(title)) link(title.slice(0, 3), target, mutant)
  for (const { name, killers } of readMutants()) {
    for (const killer of killers) {
      const [kind, target, id] = killer.split(' ')
      if (kind === 'test' && id) link(id, target, name)
      // That too little happens is what the sample of seeds tells under this id.
      if (kind === 'floors') link('J04', 'test/simulation/smoke.test', name)
    }
  }
  for (const row of rows.values()) row.mutants.sort()
  return [...rows.values()].sort((a, b) => (`${a.id} ${a.file}` < `${b.id} ${b.file}` ? -1 : 1))
}

/** Writes both tables of test/README.md anew; rules keep the order they have there. */
export function writeTables() {
  if (!existsSync(README)) return 1
  const text = readFileSync(README, 'utf8')
  const rules = [...text.slice(text.indexOf(MUTANT_HEAD) + MUTANT_HEAD.length).matchAll(/^\| (.+?) \|/gm)].map((match) => match[1])
  const place = (mutant) => (rules.includes(mutant.rule) ? rules.indexOf(mutant.rule) : rules.length)
  const mutants = readMutants()
    .sort((a, b) => place(a) - place(b) || (`${a.rule} ${a.name}` < `${b.rule} ${b.name}` ? -1 : 1))
    .map(({ rule, name, breaks, killers }) => `| ${rule} | \`${name}\` | ${breaks} | ${killers.map(inWords).join('; ')} |\n`)
  const all = catalogue()
  const ids = [...new Set(all.map((row) => row.id))].map((id) => {
    const rows = all.filter((row) => row.id === id)
    const names = [...new Set(rows.flatMap((row) => row.mutants))].map((name) => `\`${name}\``)
    return `| ${id} | ${rows.map((row) => row.file).join(', ')} | ${names.join(', ') || '—'} |\n`
  })
  let result = text
  const tables = [
    [CATALOGUE_HEAD, ids],
    [HAZARD_HEAD, hazardRows()],
    [MUTANT_HEAD, mutants],
  ]
  for (const [head, rows] of tables) result = replaced(result, head, rows.join(''))
  writeFileSync(README, result)
  return 0
}

/** What is wrong in braft's source to this day, and who would notice it here. */
const HAZARDS = {
  H1: 'votes are asked for before term and own vote are saved (`elect_self`)',
  H2: 'a candidate whose own vote could not be saved can still be elected (`elect_self`)',
  H3: 'a failed save of the term is ignored at step-down (`step_down`)',
  H4: 'the result of syncing a segment is ignored (`SegmentLogStorage::append_entries`)',
  H5: 'of a batch across two segments only the last is synced (`Segment::close`)',
  H6: 'the data of entries is not verified when the log is opened (`Segment::load`)',
  H7: 'cuts, renames and removals are not made durable (`truncate_suffix`, `unlink`)',
  H8: 'a damaged record of term and vote reads as one (`ProtoBufFile::load`)',
  H9: 'a machine that failed counts as having applied everything (`FSMCaller::do_committed`)',
}

function hazardRows() {
  const mutants = readMutants()
  return Object.entries(HAZARDS).map(([hazard, what]) => {
    const names = mutants.filter((mutant) => mutant.hazard?.split(', ').includes(hazard)).map(({ name }) => `\`${name}\``)
    return `| ${hazard} ${what} | ${names.join(', ') || '—'} |\n`
  })
}

function inWords(killer) {
  const [kind, target, id] = killer.split(' ')
  if (kind === 'sim') return `the simulator, ≤ ${target} seeds`
  if (kind === 'floors') return `the floors of the simulator, ${target} seeds`
  return target.replace(/^test\/|\.test$/g, '') + (id ? ` ${id}` : '')
}

function replaced(text, head, rows) {
  const start = text.indexOf(head)
  if (start < 0) throw new Error(`test/README.md has no table ${head.split('\n')[0]}`)
  const after = text.slice(start + head.length)
  return text.slice(0, start + head.length) + rows + after.slice(/^(?!\|)/m.exec(after).index)
}
