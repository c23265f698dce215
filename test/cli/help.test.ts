// timeout: 300s
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CliHome, PROJECT } from '../support/run-cli.js'

const test = suite('help')
const home = new CliHome('warm')
test.after(() => home.remove())

const golden = join(PROJECT, 'test', 'cli', 'golden')
const commands = [
  ['status'],
  ['wait'],
  ['leader', 'show'],
  ['leader', 'transfer'],
  ['leader', 'step-down'],
  ['node', 'status'],
  ['snapshot', 'create'],
  ['snapshot', 'list'],
  ['snapshot', 'save'],
  ['snapshot', 'inspect'],
  ['snapshot', 'verify'],
  ['check', 'consistency'],
  ['check', 'disk'],
  ['check', 'perf'],
  ['chaos', 'kill'],
  ['chaos', 'pause'],
  ['chaos', 'partition'],
  ['chaos', 'delay'],
  ['chaos', 'drop'],
  ['chaos', 'skew'],
  ['chaos', 'disk-full'],
  ['chaos', 'slow-disk'],
  ['chaos', 'list'],
  ['chaos', 'heal'],
  ['chaos', 'run'],
  ['member', 'list'],
  ['member', 'add'],
  ['member', 'promote'],
  ['member', 'demote'],
  ['member', 'set'],
  ['member', 'remove'],
  ['member', 'replace'],
  ['member', 'apply'],
  ['apply'],
  ['recover', 'plan'],
  ['recover', 'apply'],
  ['kv', 'get'],
  ['kv', 'put'],
  ['kv', 'del'],
  ['kv', 'list'],
  ['kv', 'cas'],
  ['node', 'start'],
  ['node', 'wipe'],
  ['events'],
  ['cluster', 'restart'],
  ['cluster', 'start'],
  ['cluster', 'stop'],
  ['cluster', 'ls'],
  ['cluster', 'info'],
  ['cluster', 'scale'],
  ['cluster', 'kill'],
  ['cluster', 'pause'],
  ['cluster', 'resume'],
  ['cluster', 'logs'],
  ['cluster', 'rm'],
  ['group', 'create'],
  ['group', 'list'],
  ['group', 'remove'],
  ['data', 'inspect'],
  ['data', 'log'],
  ['data', 'verify'],
  ['log', 'get'],
  ['log', 'show'],
  ['log', 'stats'],
  ['log', 'tail'],
  ['context', 'list'],
  ['context', 'use'],
  ['context', 'show'],
  ['context', 'add'],
  ['context', 'remove'],
  ['context', 'test'],
  ['bench', 'put'],
  ['bench', 'get'],
  ['bench', 'mixed'],
  ['bench', 'fill'],
  ['explain'],
  ['completion'],
]

for (const words of commands) {
  test(`${words.join(' ')} --help is as agreed`, async () => {
    const run = await home.run([...words, '--help'])
    const file = join(golden, `${words.join('-')}.txt`)
    if (process.env.RAFTCTL_WRITE_GOLDEN === '1') writeFileSync(file, run.stdout)
    assert.is(run.exitCode, 0)
    assert.is(run.stdout, readFileSync(file, 'utf8'), `if this change is meant: RAFTCTL_WRITE_GOLDEN=1 node dist/test/cli/help.test.js`)
  })
}

test('every agreed help belongs to a command', () => {
  assert.equal(readdirSync(golden).sort(), commands.map((words) => `${words.join('-')}.txt`).sort())
})

test('the sections come in their order', () => {
  const headers = [...readFileSync(join(golden, 'status.txt'), 'utf8').matchAll(/^[A-Z][A-Z ]+$/gm)].map(([header]) => header)
  assert.equal(headers, [
    'USAGE',
    'EXAMPLES',
    'DESCRIPTION',
    'FLAGS',
    'CONNECTION FLAGS',
    'OUTPUT FLAGS',
    'OUTPUT COLUMNS',
    'EXIT CODES',
    'IMPACT',
    'SEE ALSO',
  ])
})

test.run()
