// What a reader should never meet in this project, and no linter looks for.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const longestFile = 450
const code = ['src', 'commands', 'bin', 'scripts', 'bench', 'test', 'examples']
  .flatMap(filesUnder)
  .filter((file) => /\.(ts|js|mjs)$/.test(file))
const text = [
  ...code,
  ...['proto', 'docs', '.ci', 'schemas'].flatMap(filesUnder),
  'README.md',
  'package.json',
  'biome.json',
  'tsconfig.json',
].filter(existsSync)

function filesUnder(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => !file.startsWith('src/generated/') && !file.startsWith('test/fixtures/braft/'))
}

function linesThatMatch(files: string[], pattern: RegExp): string[] {
  return files.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
  )
}

test('there is something to look at', () => {
  assert.ok(code.length > 50)
  assert.ok(text.length > code.length)
})

test('nothing is left for later', () => {
  // In pieces, so that this file does not find itself.
  const words = ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X\\b', 'not imple' + 'mented', 'place' + 'holder']
  assert.equal(linesThatMatch(code, new RegExp(`\\b(${words.join('|')})`)), [])
})

test('no reference to a page that is not here', () => {
  assert.equal(linesThatMatch(text, new RegExp('\\b(DES' + 'IGN|BRA' + 'FT|SCENA' + 'RIOS)(\\.md)? (§|[A-J]\\d)')), [])
})

test('no path of one machine', () => {
  assert.equal(linesThatMatch(text, new RegExp('(^|[\\s\'"`(=:,])/(wo' + 'rk|ro' + 'ot|ho' + 'me/[a-z])')), [])
})

test(`files of the product have at most ${longestFile} lines`, () => {
  const long = code
    .filter((file) => /^(src|commands|bin)\//.test(file))
    .map((file) => ({ file, lines: readFileSync(file, 'utf8').split('\n').length - 1 }))
  assert.equal(
    long.filter(({ lines }) => lines > longestFile),
    [],
  )
})

test('every test file runs its tests', () => {
  const tests = code.filter((file) => file.endsWith('.test.ts'))
  assert.ok(tests.length > 2)
  assert.equal(
    tests.filter((file) => !/\n\w+\.run\(\)\n$/.test(readFileSync(file, 'utf8'))),
    [],
  )
})

test('the lockfile names no registry', () => {
  assert.equal(linesThatMatch(['package-lock.json'], /"resolved"/), [])
  assert.match(readFileSync('.npmrc', 'utf8'), 'omit-lockfile-registry-resolved=true')
  assert.match(readFileSync('.npmrc', 'utf8'), 'engine-strict=true')
})

test('the lockfile has an entry for every platform, so that npm ci works on each', () => {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>
  }
  const optional = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}))
  assert.ok(optional.length > 10)
  assert.equal(
    optional.filter((name) => packages[`node_modules/${name}`] === undefined),
    [],
  )
})

test.run()
