import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { endpoint } from '../../../src/terminal/cluster-command.js'
import { commandError } from '../../../src/terminal/command-not-found.js'
import type { CliError } from '../../../src/terminal/errors.js'
import { parseSettings } from '../../../src/terminal/settings.js'

test('settings are read with quotes, comments and both kinds of lists', () => {
  const text = [
    '---',
    'context: prod # the big one',
    'timeout: "9s"',
    'endpoint:',
    '  - a:1',
    "  - 'b:2'",
    'readOnly: true',
    'group: x#y',
    '',
  ].join('\n')
  assert.equal(parseSettings(text, 'f'), { context: 'prod', timeout: '9s', endpoint: 'a:1,b:2', 'read-only': 'true', group: 'x#y' })
  assert.equal(parseSettings('endpoint: [a:1, b:2]', 'f'), { endpoint: 'a:1,b:2' })
})

test('what cannot be read names the file, the line and the likely setting', () => {
  const failed = (text: string) => {
    try {
      parseSettings(text, 'raftctl.yaml')
    } catch (error) {
      return error as CliError
    }
    return null
  }
  assert.match(failed('context: a\ntimeuot: 5s')?.message ?? '', /raftctl\.yaml:2: unknown setting timeuot; did you mean timeout/)
  assert.match(failed('context: a\n  deep: b')?.message ?? '', /raftctl\.yaml:2: expected "name: value"/)
  assert.is(failed('nonsense')?.exitCode, 2)
})

test('endpoints are host:port with a real port', () => {
  for (const good of ['127.0.0.1:7001', 'db-1.example.org:80', '[::1]:7001']) assert.is(endpoint(good), good)
  for (const bad of ['7001', 'host', 'host:', 'host:0', 'host:65536', 'http://host:1', '[::g]:1', 'a b:1', ''])
    assert.throws(() => endpoint(bad), /not an endpoint/)
})

const commands = {
  commandIDs: ['status', 'member:list', 'leader:show', 'kv:get', 'kv:put', 'context:list'],
  topics: [{ name: 'member' }, { name: 'leader' }, { name: 'kv' }, { name: 'context' }],
  findCommand(id: string) {
    return this.commandIDs.includes(id) ? {} : undefined
  },
}

test('a command that does not exist names the likely one, in its topic or at the top', () => {
  const hint = (id: string) => commandError(id, commands).hint
  assert.match(hint('member:lst'), 'Did you mean: raftctl member list')
  assert.match(hint('stauts'), 'Did you mean: raftctl status')
  assert.match(hint('memebr:list'), 'Did you mean: raftctl member list')
  assert.match(hint('get'), 'Did you mean: raftctl kv get')
  assert.match(hint('frobnicate'), 'raftctl --help')
  assert.is(commandError('stauts', commands).exitCode, 127)
})

test('a known command with a word too many is a usage error, as is a flag in front', () => {
  assert.is(commandError('status:extra', commands).exitCode, 2)
  assert.match(commandError('status:extra', commands).message, 'unexpected argument extra')
  assert.is(commandError('--json', commands).exitCode, 2)
})

test.run()
