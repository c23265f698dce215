import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** How many situations each chapter of the catalogue has. */
const CHAPTERS = { A: 20, B: 17, C: 7, D: 11, E: 15, F: 6, G: 10, H: 18, I: 10, J: 5 }
const ALL = Object.entries(CHAPTERS).flatMap(([chapter, count]) =>
  Array.from({ length: count }, (_, i) => chapter + String(i + 1).padStart(2, '0')),
)
/** The situations that must also name a mutant which turns them red. */
const STARRED = [
  ...['A01', 'A02', 'A03', 'A05', 'A06', 'A10', 'A13', 'A14', 'A18'],
  ...['B01', 'B02', 'B03', 'B05', 'B09', 'C01', 'C02', 'D01', 'D03', 'D05'],
  ...['E01', 'E03', 'E05', 'F01', 'G01', 'G02', 'G06'],
  ...['H01', 'H02', 'H04', 'H06', 'H10', 'I01', 'J04', 'J05'],
]

interface Row {
  readonly id: string
  readonly file: string
  readonly mutants: readonly string[]
}

function catalogue(): Row[] {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`${ROOT}scripts/mutants.mjs`, '--list'], { encoding: 'utf8' })
  assert.is(status, 0, stderr)
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([id, file, mutants]) => ({ id: id!, file: file!, mutants: mutants?.split(',') ?? [] }))
}

test('each of the 119 situations of the catalogue has a test whose title begins with its id', () => {
  const told = new Set(catalogue().map((row) => row.id))
  assert.is(ALL.length, 119)
  assert.equal(
    ALL.filter((id) => !told.has(id)),
    [],
  )
})

test('each situation that must be told has a test, and a mutant that turns it red', () => {
  const rows = catalogue()
  const problems = STARRED.flatMap((id) => {
    const own = rows.filter((row) => row.id === id)
    if (own.length === 0) return [`${id} has no test`]
    return own.some((row) => row.mutants.length > 0) ? [] : [`${id} names no mutant`]
  })
  assert.equal(problems, [])
})

test('every mutant that a test names exists', () => {
  const named = new Set(catalogue().flatMap((row) => row.mutants))
  assert.equal(
    [...named].filter((name) => !existsSync(`${ROOT}test/mutants/${name}.patch`)),
    [],
  )
})

test('test/README.md lists them, and lists nothing that is not so', () => {
  const rows = catalogue()
  const readme = readFileSync(`${ROOT}test/README.md`, 'utf8')
  const listed = [...readme.matchAll(/^\| ([A-J]\d\d) \| (.+?) \| (.+?) \|$/gm)].map(([, id, files, mutants]) => ({
    id: id!,
    files: files!.split(', '),
    mutants: [...mutants!.matchAll(/`(.+?)`/g)].map(([, name]) => name!),
  }))
  const wrong = listed.filter(({ id, files, mutants }) => {
    const own = rows.filter((row) => row.id === id)
    return (
      !files.every((file) => own.some((row) => row.file === file)) ||
      !mutants.every((name) => own.some((row) => row.mutants.includes(name)))
    )
  })
  const missing = STARRED.filter((id) => !listed.some((row) => row.id === id && row.mutants.length > 0))
  assert.equal([...wrong.map(({ id }) => id), ...missing], [], 'write it anew: npm run mutants -- --write-tables')
})

test.run()
