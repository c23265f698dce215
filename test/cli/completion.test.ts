import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { saveInto } from '../support/contexts.js'
import { type FakeNode, fakeCluster } from '../support/fake-control.js'
import { documentOf } from '../support/local-clusters.js'
import { CliHome, PROJECT } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite<{ home: CliHome; nodes: FakeNode[] }>('completion')

test.before.each(async (context) => {
  context.home = new CliHome()
  context.nodes = await fakeCluster()
})
test.after.each(({ home, nodes }) => {
  for (const node of nodes) node.close()
  home.remove()
})

/** What may stand for the last word. */
async function candidates(home: CliHome, ...words: string[]): Promise<string[]> {
  const { exitCode, stdout, stderr } = await home.run(['__complete', ...words])
  assert.equal([exitCode, stderr], [0, ''])
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t')[0]!)
}

/** Runs a script of a shell that finds the built raftctl by its name. */
function shell(home: CliHome, command: string, args: readonly string[]): string[] {
  const bin = join(home.directory, 'bin')
  mkdirSync(bin, { recursive: true })
  writeFileSync(join(bin, 'raftctl'), `#!/bin/sh\nexec '${process.execPath}' '${join(PROJECT, 'bin', 'run.js')}' "$@"\n`)
  chmodSync(join(bin, 'raftctl'), 0o755)
  const env = { ...home.environment(), PATH: `${bin}:${process.env.PATH}`, TERM: 'dumb', XDG_CONFIG_HOME: join(home.directory, '.config') }
  const { stdout, stderr, error } = spawnSync(command, args, { env, encoding: 'utf8', timeout: 30_000 })
  assert.is(error, undefined, String(error))
  assert.is(stderr, '', stderr)
  return stdout.split('\n').filter((line) => line !== '')
}

const isInstalled = (name: string) => spawnSync(name, ['--version']).error === undefined

test('commands, then flags, then their values, by prefix', async ({ home }) => {
  const root = await candidates(home, '')
  for (const word of ['status', 'cluster', 'context', 'explain']) assert.ok(root.includes(word), word)
  assert.not.ok(root.includes('__complete'))
  assert.equal(await candidates(home, 'cluster', 'ki'), ['kill'])
  assert.equal(await candidates(home, 'cluster', 'kill', '--sig'), ['--signal'])
  assert.equal(await candidates(home, 'cluster', 'kill', '--signal', ''), ['KILL', 'TERM', 'INT', 'ABRT'])
  assert.equal(await candidates(home, 'cluster', 'kill', '--signal=T'), ['--signal=TERM'])
  assert.not.ok((await candidates(home, 'cluster', 'kill', '--signal', 'KILL', '--')).includes('--signal'), 'it is on the line already')
  assert.equal(await candidates(home, 'context', 'add', '--no-pin'), ['--no-pin-cluster-id'])
  assert.equal(await candidates(home, 'no', 'such', 'thing', ''), [])
})

test('names of contexts, error codes and conditions', async ({ home }) => {
  saveInto(home, { name: 'prod', endpoints: ['127.0.0.1:1'] })
  saveInto(home, { name: 'staging', endpoints: ['127.0.0.1:1'] })
  assert.equal(await candidates(home, 'context', 'use', ''), ['prod', 'staging'])
  assert.equal(await candidates(home, 'status', '-c', 'st'), ['staging'])
  assert.equal(await candidates(home, 'explain', 'E_NO_L'), ['E_NO_LEADER', 'E_NO_LEASE'])
  assert.equal(await candidates(home, 'explain', 'jo'), ['joint-consensus'])
  assert.ok((await candidates(home, 'wait', '')).includes('healthy'))
  writeFileSync(join(home.directory, '.config', 'raftctl', 'contexts', 'broken.json'), '{')
  assert.equal(await candidates(home, 'context', 'remove', 'b'), ['broken'])
})

test('members are those that the last look saw; completion itself asks nobody', async ({ home, nodes }) => {
  saveInto(home, { name: 'prod', endpoints: [nodes[0]!.address] })
  assert.is((await home.run(['context', 'use', 'prod'])).exitCode, 0)
  assert.equal(await candidates(home, 'wait', 'node='), [])
  assert.is((await home.run(['status'])).exitCode, 0)
  const asked = nodes.map((node) => node.requests)
  assert.equal(await candidates(home, 'wait', 'node='), ['node=n1:reachable', 'node=n2:reachable', 'node=n3:reachable'])
  assert.equal(await candidates(home, 'wait', 'leader=n', '-c', 'other', ''), [])
  assert.equal(
    nodes.map((node) => node.requests),
    asked,
  )
})

test('completion SHELL prints a script, and nothing but the three shells', async ({ home }) => {
  const document = documentOf(await home.run(['completion', 'bash', '--json']))
  assert.is(document.data.script, (await home.run(['completion', 'bash'])).stdout)
  assert.ok(problemsOf({ ...document, data: { shell: 'tcsh', script: '' } } as never).length > 0)
  const { exitCode } = await home.run(['completion', 'tcsh'])
  assert.is(exitCode, 2)
  assert.is((await home.run(['completion'])).exitCode, 2)
})

test('a real bash completes, also where it splits words at = and :', ({ home }) => {
  saveInto(home, { name: 'prod', endpoints: ['127.0.0.1:1'] })
  const ask = (words: readonly string[]) => {
    const line = words.join(' ')
    const array = words.map((word) => `'${word}'`).join(' ')
    const script = [
      'source <(raftctl completion bash)',
      'complete -p raftctl >/dev/null || exit 1',
      `COMP_WORDS=(${array}) COMP_CWORD=${words.length - 1} COMP_LINE='${line}' COMP_POINT=${line.length}`,
      '_raftctl 2>/dev/null',
      `printf "%s\\n" "\${COMPREPLY[@]}"`,
    ]
    return shell(home, 'bash', ['--norc', '--noprofile', '-c', script.join('\n')])
  }
  assert.equal(ask(['raftctl', 'context', 'us']), ['use'])
  assert.equal(ask(['raftctl', 'context', 'use', '']), ['prod'])
  assert.equal(ask(['raftctl', 'cluster', 'kill', '--signal', '=', 'T']), ['TERM'])
  assert.equal(ask(['raftctl', 'cluster', 'kill', '--signal', '=']), ['KILL', 'TERM', 'INT', 'ABRT'])
  assert.equal(ask(['raftctl', 'wait', 'he']), ['healthy'])
})

if (isInstalled('zsh')) {
  test('a real zsh completes', ({ home }) => {
    saveInto(home, { name: 'prod', endpoints: ['127.0.0.1:1'] })
    // The menu is zsh's own business: what it is given is what counts.
    const script = [
      'compdef() { [[ $1 == _raftctl && $2 == raftctl ]] || exit 1 }',
      `_describe() { print -rl -- "\${(@P)4}" }`,
      '_files() { print -r -- files }',
      'source <(raftctl completion zsh)',
      'words=(raftctl context use "") CURRENT=4; _raftctl',
      'words=(raftctl cluster ki) CURRENT=3; _raftctl',
      'words=(raftctl kv get x) CURRENT=4; _raftctl',
    ]
    const [context, kill, file] = shell(home, 'zsh', ['-f', '-c', script.join('\n')])
    assert.equal([context, kill?.split(':')[0], file], ['prod:127.0.0.1:1', 'kill', 'files'])
  })
}

if (isInstalled('fish')) {
  test('a real fish completes', ({ home }) => {
    saveInto(home, { name: 'prod', endpoints: ['127.0.0.1:1'] })
    const script = 'raftctl completion fish | source; complete -C "raftctl context use "; complete -C "raftctl cluster ki"'
    const lines = shell(home, 'fish', ['--no-config', '-c', script])
    assert.equal(
      lines.map((line) => line.split('\t')[0]),
      ['prod', 'kill'],
    )
  })
}

test.run()
