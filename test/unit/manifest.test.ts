// The manifest decides which commands exist for a user, so a manifest that no longer describes the commands must not pass.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

let root = ''

const command = (summary: string) => `import { Command } from '@oclif/core'
export default class Hello extends Command {
  static summary = '${summary}'
  async run() {}
}
`

const manifest = (...args: string[]) => spawnSync(process.execPath, ['scripts/manifest.mjs', '--root', root, ...args], { encoding: 'utf8' })
const write = (file: string, text: string) => writeFileSync(join(root, file), text)

test.before.each(() => {
  root = mkdtempSync(join(tmpdir(), 'manifest-'))
  mkdirSync(join(root, 'commands'))
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'))
  write(
    'package.json',
    JSON.stringify({ name: 'tiny', version: '1.0.0', type: 'module', files: [], oclif: { bin: 'tiny', commands: './commands' } }),
  )
  write('commands/hello.js', command('say hello'))
})

test.after.each(() => rmSync(root, { recursive: true }))

test('a manifest that was just written is up to date', () => {
  assert.is(manifest().status, 0)
  const { status, stdout } = manifest('--check')
  assert.is(status, 0)
  assert.match(stdout, 'manifest: 1 commands, up to date')
})

test('no manifest is stale', () => {
  assert.not(existsSync(join(root, 'oclif.manifest.json')))
  const { status, stderr } = manifest('--check')
  assert.is(status, 1)
  assert.match(stderr, 'oclif.manifest.json is missing')
})

for (const [change, spoil, says] of [
  ['changed', () => write('commands/hello.js', command('say goodbye')), 'hello'],
  ['added', () => write('commands/other.js', command('another')), 'other'],
  ['removed', () => rmSync(join(root, 'commands/hello.js')), 'hello'],
] as const) {
  test(`a command that was ${change} makes it stale`, () => {
    assert.is(manifest().status, 0)
    if (change === 'removed') write('commands/kept.js', command('kept'))
    spoil()
    const { status, stderr } = manifest('--check')
    assert.is(status, 1)
    assert.match(stderr, new RegExp(`does not describe the compiled command: .*${says}`))
  })
}

test('another version of the package makes it stale', () => {
  assert.is(manifest().status, 0)
  write(
    'package.json',
    JSON.stringify({ name: 'tiny', version: '1.0.1', type: 'module', files: [], oclif: { bin: 'tiny', commands: './commands' } }),
  )
  assert.match(manifest('--check').stderr, 'of version 1.0.0, the package of 1.0.1')
})

test.run()
