import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { saveInto } from '../support/contexts.js'
import { CliHome, type CliRun } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('contract')
const home = new CliHome('warm')
test.after(() => home.remove())

interface Failure {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string }
}

/** Both ways; stdout is empty without --json and exactly one valid document with it. */
async function fails(args: string[], env: Record<string, string> = {}): Promise<{ code: number; text: CliRun; document: Failure }> {
  const text = await home.run(args, { env })
  const end = args.indexOf('--')
  const json = await home.run(end < 0 ? [...args, '--json'] : [...args.slice(0, end), '--json', ...args.slice(end)], { env })
  assert.is(text.stdout, '')
  assert.is(json.exitCode, text.exitCode)
  const document = JSON.parse(json.stdout)
  assert.equal(problemsOf(document), [])
  assert.is(document.exitCode, json.exitCode)
  assert.ok(json.stdout.length < 3_000, 'the document carries more than an error')
  assert.is(json.stderr.split('\n')[0], text.stderr.split('\n')[0], 'the human line is the same')
  assert.not.match(text.stderr, /\n\s+at /, 'no stack trace')
  return { code: text.exitCode, text, document }
}

test('an unknown flag is exit 2 and names the likely one', async () => {
  const { code, document } = await fails(['status', '--wacth'])
  assert.is(code, 2)
  assert.match(document.error.message, 'did you mean --watch?')
})

test('a bad value, a missing and a superfluous argument are exit 2', async () => {
  for (const args of [
    ['status', '--timeout', '5'],
    ['status', '-e', 'nonsense'],
    ['kv', 'get'],
    ['context', 'use', 'a', 'b'],
    ['status', 'extra'],
    ['kv', 'get', 'k', '--read', 'wild'],
    ['kv', 'list', '--limit', '0'],
  ]) {
    const { code, document } = await fails(args)
    assert.is(code, 2, args.join(' '))
    assert.is(document.error.code, 'E_USAGE')
  }
})

test('an unknown command is exit 127 with a suggestion, in a topic too', async () => {
  const top = await fails(['stauts'])
  assert.equal([top.code, top.document.error.hint], [127, 'Did you mean: raftctl status'])
  const inTopic = await fails(['member', 'lst'])
  assert.equal([inTopic.code, inTopic.document.error.hint], [127, 'Did you mean: raftctl member list'])
  assert.is((await home.run(['member', 'lst', '--help'])).exitCode, 127)
})

test('without a context or an endpoint it is exit 7 and says what to type', async () => {
  const { code, text } = await fails(['status'])
  assert.is(code, 7)
  assert.match(text.stderr, 'raftctl cluster start')
})

test('a context that does not exist is exit 7 and names the likely one', async () => {
  saveInto(home, { name: 'staging', endpoints: ['127.0.0.1:1'] })
  const { code, document } = await fails(['context', 'use', 'stagign'])
  assert.is(code, 7)
  assert.match(document.error.message, 'did you mean staging?')
  assert.is((await fails(['context', 'use', 'nothere'])).code, 7)
  assert.is((await fails(['status', '-c', 'stagign'])).code, 7)
})

test('contexts are listed, selected and gone back to', async () => {
  saveInto(home, { name: 'a', endpoints: ['127.0.0.1:1'] })
  saveInto(home, { name: 'b', endpoints: ['127.0.0.1:2'] })
  assert.is((await home.run(['context', 'use', 'a'])).exitCode, 0)
  assert.match((await home.run(['context', 'use', 'b'])).stdout, 'context b selected (was: a)')
  assert.match((await home.run(['context', 'use', '-'])).stdout, 'context a selected (was: b)')
  for (const args of [
    ['context', 'list'],
    ['context', 'show'],
    ['context', 'show', 'b'],
    ['context', 'use', '-'],
  ]) {
    const run = await home.run([...args, '--json'])
    assert.is(run.exitCode, 0)
    assert.equal(problemsOf(JSON.parse(run.stdout)), [])
  }
  assert.match((await home.run(['context', 'list'])).stdout, /^\* +b +127\.0\.0\.1:2/m)
})

test('a damaged configuration file is exit 2 and names the line', async () => {
  const { writeFileSync } = await import('node:fs')
  const { join } = await import('node:path')
  const other = new CliHome('warm')
  writeFileSync(join(other.directory, 'raftctl.yaml'), 'context: a\nendpiont: b:1\n')
  const run = await other.run(['context', 'list'])
  other.remove()
  assert.is(run.exitCode, 2)
  assert.match(run.stderr, /raftctl\.yaml:2: unknown setting endpiont; did you mean endpoint\?/)
})

test('a data directory that is none is no matter for what does not use it', async () => {
  const { stderr } = await home.run(['context', 'list'], { env: { XDG_DATA_HOME: join(process.cwd(), 'package.json') } })
  assert.not.match(stderr, 'ENOTDIR')
})

test('RAFTCTL_JSON is the same as --json', async () => {
  const run = await home.run(['context', 'list'], { env: { RAFTCTL_JSON: '1' } })
  assert.equal(problemsOf(JSON.parse(run.stdout)), [])
  assert.is(JSON.parse((await home.run(['nonsense'], { env: { RAFTCTL_JSON: '1' } })).stdout).exitCode, 127)
})

test('symbols have an ASCII twin for other locales, and colour comes only when it is wanted', async () => {
  const ascii = await home.run(['context', 'use', 'nothere'], { env: { LANG: 'C' } })
  assert.match(ascii.stderr, /^x E_NO_CONTEXT/)
  const coloured = await home.run(['context', 'use', 'nothere'], { env: { FORCE_COLOR: '1' } })
  assert.ok(coloured.stderr.includes('\u001b[31m'))
  const plain = await home.run(['context', 'use', 'nothere'], { env: { FORCE_COLOR: '1', NO_COLOR: '1' } })
  assert.not.ok(plain.stderr.includes('\u001b'))
})

test('--help --json describes the command for programs', async () => {
  const run = await home.run(['kv', 'cas', '--help', '--json'])
  const document = JSON.parse(run.stdout)
  assert.equal(problemsOf(document), [])
  assert.is(document.data.impact, 'data')
  assert.ok(document.data.exitCodes.includes(8))
})

test('--help --json of raftctl and of a topic lists the commands, and nothing else is on stdout', async () => {
  for (const [args, topic] of [
    [['--help', '--json'], null],
    [['--json', '--help'], null],
    [['cluster', '--help', '--json'], 'cluster'],
  ] as const) {
    const run = await home.run(args)
    const document = JSON.parse(run.stdout)
    assert.equal(problemsOf(document), [], args.join(' '))
    assert.equal([run.exitCode, document.data.topic], [0, topic])
    const names = document.data.commands.map((row: { command: string }) => row.command)
    assert.ok(names.includes('cluster start'), names.join())
    assert.is(names.includes('status'), topic === null)
    const { topics: _, ...data } = document.data
    assert.ok(problemsOf({ ...document, data } as never).length > 0)
  }
})

test('explain: every code and exit code, the concepts, and exit 7 with the likely name for what is none', async () => {
  const { ERRORS } = await import('../../src/terminal/errors.js')
  const { explain } = await import('../../src/terminal/explanations.js')
  for (const [code, { meaning, act, exitCode }] of Object.entries(ERRORS)) {
    const found = explain(code, { voters: null })
    assert.equal([found.kind, found.summary, found.act, found.exitCode], ['error', meaning, act, exitCode])
    assert.ok(explain(String(exitCode), { voters: null }).codes.includes(code))
  }
  for (const words of [
    ['quorum', '--voters', '5'],
    ['joint', 'consensus'],
    ['joint-consensus'],
    ['read', 'index'],
    ['term'],
    ['E_CAS'],
    ['no-leader'],
  ]) {
    const run = await home.run(['explain', ...words])
    assert.equal([run.exitCode, run.stderr], [0, ''], words.join(' '))
    assert.equal(problemsOf(JSON.parse((await home.run(['explain', ...words, '--json'])).stdout)), [])
  }
  assert.match((await home.run(['explain', 'quorum', '--voters', '5'])).stdout, '5 voters: quorum 3, tolerates 2 failures.')
  assert.match((await home.run(['explain', 'quorum', '--voters', '4'])).stdout, 'quorum 3, tolerates 1 failure, as 3 would')
  const document = JSON.parse((await home.run(['explain', 'term', '--json'])).stdout)
  assert.ok(problemsOf({ ...document, data: { ...document.data, kind: 'word' } }).length > 0)
  const { code, document: failure } = await fails(['explain', 'qourum'])
  assert.equal([code, failure.error.code], [7, 'E_NO_TOPIC'])
  assert.match(failure.error.message, 'did you mean quorum?')
  assert.match((await fails(['explain', 'E_NO_LEADR'])).document.error.message, 'did you mean E_NO_LEADER?')
  assert.is((await fails(['explain', 'term', '--voters', '3'])).code, 2)
  assert.is((await fails(['explain'])).code, 2)
})

test('pain 21: stdout is the document alone, whatever goes wrong, and warnings are inside it', async () => {
  saveInto(home, { name: 'gone', endpoints: ['127.0.0.1:1'] })
  for (const [args, exitCode] of [
    [['context', 'test', 'gone', '--json'], 5],
    [['events', '-e', '127.0.0.1:1', '--json'], 5],
    [['node', 'wipe', '/no/such/directory', '--json'], 7],
    [['cluster', 'restart', 'nothere', '--json'], 7],
    [['explain', 'nonsense', '--json'], 7],
    [['nonsense', '--json'], 127],
    [['context', 'nonsense', '--json'], 127],
    [['status', '--nonsense', '--json'], 2],
    [['context', 'remove', '--json'], 2],
  ] as const) {
    const run = await home.run([...args], { env: { FORCE_COLOR: '1' } })
    const document = JSON.parse(run.stdout)
    assert.equal(problemsOf(document), [], args.join(' '))
    assert.equal(
      [run.exitCode, document.exitCode, document.ok, Array.isArray(document.warnings)],
      [exitCode, exitCode, false, true],
      args.join(' '),
    )
  }
})

test('pain 23: a wrong word is told the likely one at once, never asked about, never run, and is 127', async () => {
  for (const [words, likely] of [
    [['cluster', 'strat'], 'raftctl cluster start'],
    [['evnets'], 'raftctl events'],
    [['node', 'wpie', '/tmp'], 'raftctl node wipe'],
    [['context', 'tset'], 'raftctl context test'],
    [['explian', 'term'], 'raftctl explain'],
  ] as const) {
    const { code, text } = await fails([...words])
    assert.is(code, 127, words.join(' '))
    assert.match(text.stderr, `Did you mean: ${likely}`)
  }
  assert.is((await home.run(['cluster', 'ls', '--json'])).exitCode, 0)
  assert.equal(JSON.parse((await home.run(['cluster', 'ls', '--json'])).stdout).data.clusters, [])
})

test.run()
