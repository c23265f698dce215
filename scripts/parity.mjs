// Holds docs/braft-parity.md to what it says: every test that it names is there, under that very title, and no test of braft's
// own suite is left out or told twice. That a named test ran and asserted is for the test runner to see.
//   node scripts/parity.mjs            counts the rows by what they say
//   node scripts/parity.mjs --check    fails where the page is wrong
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const words = process.argv.slice(2).filter((word) => word !== '--check')
const check = process.argv.includes('--check')
const page = words[0] ?? join(root, 'docs/braft-parity.md')

/** How many tests each file of braft's suite has, at the commit that the page names; of jepsen, how many nemeses. */
const SCENARIOS = {
  test_node: 44,
  test_leader_lease: 9,
  test_log: 15,
  test_log_manager: 11,
  test_log_entry: 1,
  test_memory_storage: 3,
  test_meta: 4,
  test_storage: 2,
  test_protobuf_file: 1,
  test_snapshot: 10,
  test_snapshot_executor: 4,
  test_file_service: 2,
  test_file_system_adaptor: 10,
  test_throttle: 2,
  test_ballot: 3,
  test_ballot_box: 3,
  test_configuration: 3,
  test_fsm_caller: 3,
  test_cli: 4,
  test_repeated_timer_task: 4,
  test_checksum: 1,
  test_fsync: 2,
  test_util: 7,
  jepsen: 5,
}
/** What a row may say, whether it then names tests of ours, and whether it must say more. */
const VERDICTS = {
  covered: { tests: true, note: false },
  'in part': { tests: true, note: true },
  otherwise: { tests: true, note: true },
  'not yet': { tests: false, note: true },
  'does not apply': { tests: false, note: true },
}
const TITLE = /\b(?:test|scenario)\(\s*(['"`])((?:\\.|(?!\1).)*)\1/gs

const problems = []
const counts = Object.fromEntries(Object.keys(VERDICTS).map((verdict) => [verdict, 0]))
const files = new Map()
const found = readRows(readFileSync(page, 'utf8'))
for (const [section, rows] of found) checkSection(section, rows)
for (const section of Object.keys(SCENARIOS)) if (!found.has(section)) problems.push(`${section}: the page has no such section`)

/** The rows of each section, by its heading. */
function readRows(text) {
  const sections = new Map()
  let rows = null
  for (const [at, line] of text.split('\n').entries()) {
    const heading = /^## `(\w+)`/.exec(line)
    if (heading && sections.has(heading[1])) problems.push(`line ${at + 1}: a second section ${heading[1]}`)
    if (line.startsWith('## ')) rows = heading ? [] : null
    if (heading) sections.set(heading[1], rows)
    if (rows && line.startsWith('|') && !/^\|( test| nemesis|---)/.test(line)) rows.push({ at: at + 1, line })
  }
  return sections
}

function checkSection(section, rows) {
  const expected = SCENARIOS[section]
  if (expected === undefined) return problems.push(`${section}: braft has no such file of tests`)
  if (rows.length !== expected) problems.push(`${section}: ${rows.length} rows, braft has ${expected} tests there`)
  const names = new Set()
  for (const row of rows) {
    const cells = /^\| `?([\w ]+?)`? \| ([a-z ]+) \| (.*?) \| (.*?) ?\|$/.exec(row.line)
    if (!cells) {
      problems.push(`line ${row.at}: this is no row: name, verdict, tests, note`)
      continue
    }
    const [, name, verdict, tests, note] = cells
    if (names.has(name)) problems.push(`line ${row.at}: ${section} ${name} is told twice`)
    names.add(name)
    checkRow({ at: row.at, verdict, tests: tests.trim(), note: note.trim() })
  }
}

function checkRow({ at, verdict, tests, note }) {
  const rule = VERDICTS[verdict]
  if (!rule) return problems.push(`line ${at}: "${verdict}" is none of: ${Object.keys(VERDICTS).join(', ')}`)
  counts[verdict]++
  if (rule.tests !== (tests !== '')) problems.push(`line ${at}: "${verdict}" names ${rule.tests ? 'at least one test' : 'no test'} of ours`)
  if (rule.note && note === '') problems.push(`line ${at}: "${verdict}" says what differs`)
  const named = new Set()
  for (const test of tests === '' ? [] : tests.split('<br>')) {
    const parts = /^`([\w/-]+)` (\S.*)$/.exec(test.trim())
    if (!parts) problems.push(`line ${at}: "${test.trim()}" is no file with a title`)
    else checkTest(at, parts[1], parts[2])
    if (named.has(test.trim())) problems.push(`line ${at}: the same test twice: ${test.trim()}`)
    named.add(test.trim())
  }
}

function checkTest(at, file, title) {
  const path = join(root, 'test', `${file}.test.ts`)
  if (!files.has(file)) files.set(file, existsSync(path) ? contentsOf(readFileSync(path, 'utf8')) : null)
  const contents = files.get(file)
  if (!contents) return problems.push(`line ${at}: there is no test/${file}.test.ts`)
  if (!contents.asserts) problems.push(`line ${at}: test/${file}.test.ts asserts nothing`)
  const times = contents.titles.filter((one) => one === title).length
  if (times !== 1) problems.push(`line ${at}: test/${file}.test.ts has ${times === 0 ? 'no test' : `${times} tests`} "${title}"`)
}

/** Titles as they stand in the source, with `${…}` where a test is made for several cases. */
function contentsOf(text) {
  return {
    titles: [...text.matchAll(TITLE)].map(([, quote, title]) => title.replaceAll(`\\${quote}`, quote)),
    asserts: /\bassert\.\w+|\bstory\.(?:expect|await|write)/.test(text),
  }
}

if (check) {
  for (const problem of problems) console.error(`docs/braft-parity.md: ${problem}`)
  process.exitCode = problems.length > 0 ? 1 : 0
} else {
  console.log(
    Object.entries(counts)
      .map(([verdict, count]) => `${count} ${verdict}`)
      .join(' · '),
  )
}
