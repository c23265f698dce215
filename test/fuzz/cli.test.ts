// timeout: 180s
// Arguments that nobody meant: every command refuses them as a mistake of the user, none falls over them.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Config, Errors, Parser } from '@oclif/core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { complete, readCommandTree } from '../../src/local/completion.js'
import { CliError } from '../../src/terminal/errors.js'
import { SeededRandom } from '../support/fake-environment.js'
import { CliHome, PROJECT } from '../support/run-cli.js'
import { mutant, pick } from './mutate.js'

const RUNS = 60
const VALUES = [
  '1',
  '-1',
  '5s',
  '1.5',
  'abc',
  '',
  '--',
  '-',
  '=',
  'n1',
  '127.0.0.1:7001',
  'a=b',
  '\u00e9',
  '9'.repeat(400),
  '__proto__',
  'null',
  '{"a":',
  '../..',
]

/** Words as a hand might have slipped: flags of the command, values, and either of them broken. */
function someWords(flags: readonly string[], random: SeededRandom): string[] {
  const broken = (word: string) =>
    random.chance(0.2)
      ? mutant([Buffer.from(word)], random)
          .toString('latin1')
          .slice(0, 300)
          .replaceAll('\0', '')
      : word
  return Array.from({ length: random.below(6) }, () => {
    const kind = random.below(4)
    if (kind === 0 || flags.length === 0) return broken(pick(VALUES, random))
    const flag = `--${pick(flags, random)}`
    return broken(kind === 1 ? flag : kind === 2 ? `${flag}=${pick(VALUES, random)}` : flag.slice(0, 4))
  })
}

test(`${RUNS} times some words for each command: parsed, or refused as a mistake of the user`, async () => {
  const random = new SeededRandom(1)
  const config = await Config.load({ root: PROJECT, userPlugins: false, devPlugins: false })
  let parsed = 0
  let refused = 0
  for (const loadable of config.commands.filter(({ pluginName }) => pluginName === 'raftctl')) {
    const command = await loadable.load()
    const flags = { ...command.baseFlags, ...command.flags }
    const options = { args: command.args, flags, strict: command.strict !== false, '--': true }
    for (let i = 0; i < RUNS; i++) {
      const words = someWords(Object.keys(flags), random)
      try {
        await Parser.parse(words, options as never)
        parsed++
      } catch (error) {
        // oclif refuses some values with a plain Error, which the program tells as a mistake of the user too.
        const isMistake = error instanceof CliError || error instanceof Errors.CLIError || (error as Error).constructor === Error
        assert.ok(isMistake, `${loadable.id} ${JSON.stringify(words)}: ${(error as Error).stack}`)
        refused++
      }
    }
  }
  assert.ok(parsed > 300 && refused > 300, `${parsed} parsed, ${refused} refused`)
})

test('whatever stands on the line, completion answers with candidates', () => {
  const random = new SeededRandom(2)
  const tree = readCommandTree()
  const names = ['member', 'add', 'cluster', 'start', 'kv', 'get', '-', '--', '--c', '-o', '']
  for (let i = 0; i < 2000; i++) {
    const words = Array.from({ length: random.below(6) }, () =>
      random.chance(0.6) ? pick(names, random) : someWords(names, random).join(''),
    )
    assert.ok(Array.isArray(complete(words, tree)), JSON.stringify(words))
  }
})

test('the binary itself: garbage ends in an exit code of its own, without a stack', async () => {
  const home = new CliHome()
  const random = new SeededRandom(3)
  try {
    const garbage = join(home.directory, 'garbage')
    writeFileSync(garbage, Buffer.from(random.hex(3000), 'hex'))
    const lines = [
      ['statsu', '--endpoint', '127.0.0.1:1'],
      ['kv', 'get', '\u00e9'.repeat(100), '-e', '::::', '--timeout', '1ms'],
      ['status', '--context'],
      ['snapshot', 'inspect', garbage],
      ['data', 'inspect', garbage],
      ['log', 'show', '--from', '-1', '-e', '127.0.0.1:1'],
      ['node', 'start', '--listen', '256.1.1.1:99999', '--data', garbage],
      ['member', 'add', 'n4=', '--plan', garbage],
      ['--', '--help=', '-o', 'json', '__proto__'],
    ]
    const runs = await Promise.all(lines.map((line) => home.run(line, { timeoutMs: 60_000 })))
    runs.forEach(({ exitCode, stderr }, i) => {
      const what = `${JSON.stringify(lines[i])}: exit ${exitCode}, ${stderr}`
      assert.ok(exitCode > 0 && (exitCode < 64 || exitCode === 127), what)
      assert.not.match(stderr, /\n\s+at .+:\d+:\d+|E_INTERNAL/, what)
      assert.is.not(stderr.trim(), '', what)
    })
  } finally {
    home.remove()
  }
})

test.run()
