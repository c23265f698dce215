// What a command loads decides how fast it starts, and unlike the time itself it does not depend on the machine. The times are
// measured by bench/startup.mjs.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { NODE_FLAGS } from '../../src/local/node-flags.js'

/** What costs most to load. Only the branch that needs one of these may load it. */
const heavy = ['@grpc/grpc-js', 'protobufjs', 'inquirer', '@inquirer', 'execa', 'pino', 'prom-client', 'cli-progress', 'hdr-histogram-js']

interface Loaded {
  status: number | null
  stdout: string
  stderr: string
  /** Paths below the project. */
  files: string[]
}

/** The package as a user has it: with a manifest of its own, so that it does not matter whether the checkout has one. */
let root = ''

test.before(() => {
  root = mkdtempSync(join(tmpdir(), 'startup-'))
  cpSync('bin', join(root, 'bin'), { recursive: true })
  cpSync('package.json', join(root, 'package.json'))
  for (const folder of ['dist', 'node_modules']) symlinkSync(resolve(folder), join(root, folder))
  const { status, stderr } = spawnSync(process.execPath, ['scripts/manifest.mjs', '--root', root], { encoding: 'utf8' })
  assert.is(status, 0, stderr)
})

test.after(() => rmSync(root, { recursive: true, force: true }))

function node(...args: string[]): Loaded {
  const list = join(root, 'loaded.txt')
  writeFileSync(list, '')
  const env = {
    ...process.env,
    HOME: root,
    XDG_CONFIG_HOME: root,
    XDG_DATA_HOME: root,
    XDG_STATE_HOME: root,
    XDG_CACHE_HOME: root,
    NO_COLOR: '1',
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', resolve('test/fixtures/loaded/record.mjs'), ...args], {
    encoding: 'utf8',
    env: { ...env, LOADED_MODULES_FILE: list },
  })
  const files = readFileSync(list, 'utf8').trimEnd().split('\n')
  const inside = files.map((file) => (file.startsWith(root) ? relative(root, file) : relative(resolve('.'), file)))
  return { status, stdout, stderr, files: [...new Set(inside)].filter((file) => !file.startsWith('test/fixtures/loaded')).sort() }
}

const raftctl = (...args: string[]) => node(join(root, 'bin/run.js'), ...args)
const packages = (files: string[]) => heavy.filter((name) => files.some((file) => `/${file}`.includes(`/node_modules/${name}/`)))

for (const flag of ['--version', '-V']) {
  test(`${flag} reads package.json and nothing else`, () => {
    const { status, stdout, files } = raftctl(flag)
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    assert.is(status, 0)
    assert.is(stdout, `raftctl/${version} ${process.platform}-${process.arch} node-${process.version}\n`)
    assert.equal(files, ['bin/run.js', 'package.json'])
  })
}

test('the recorder sees what is loaded', () => {
  assert.equal(packages(node('--input-type=module', '-e', "await import('@grpc/grpc-js')").files).sort(), ['@grpc/grpc-js'])
})

for (const { line, exitCode } of [
  { line: ['--help'], exitCode: 0 },
  { line: ['context', 'list'], exitCode: 0 },
  { line: ['context', 'list', '--json'], exitCode: 0 },
  { line: ['kv', 'put', '--help'], exitCode: 0 },
  { line: ['cluster', 'ls'], exitCode: 0 },
  { line: ['explain', 'quorum'], exitCode: 0 },
  { line: ['completion', 'bash'], exitCode: 0 },
  { line: ['context', 'show'], exitCode: 7 },
  { line: ['context', 'remove', 'nothere'], exitCode: 7 },
  { line: ['events', '--help'], exitCode: 0 },
  { line: ['no-such-command'], exitCode: 127 },
]) {
  test(`raftctl ${line.join(' ')} loads no network, no prompt and no process library`, () => {
    const { status, files, stderr } = raftctl(...line)
    assert.is(status, exitCode, stderr)
    assert.equal(packages(files), [])
    const commands = files.filter((file) => file.startsWith('dist/commands/'))
    assert.ok(commands.length <= 1, `it loads ${commands.join(', ')}: the manifest should spare it`)
    assert.equal(
      // What the system says of a process is one file that is read, and loads nothing more.
      files.filter((file) => /^dist\/src\/(raft|storage|rpc|machines|server|generated)\/(?!process-stat\.js$)/.test(file)),
      [],
    )
  })
}

test('pain 22: what a shell asks at every tab loads no command, no oclif and no network', () => {
  const { status, stdout, files, stderr } = raftctl('__complete', 'cluster', 'ki')
  assert.is(status, 0, stderr)
  assert.match(stdout, /^kill\t/)
  assert.equal(packages(files), [])
  assert.equal(
    files.filter((file) => /node_modules|^dist\/commands/.test(file)),
    [],
  )
  assert.ok(files.length < 25, files.join())
})

test('no command loads what is heavy before it runs', () => {
  const commands = readdirSync('dist/commands', { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js'))
  assert.ok(commands.length > 2)
  const loading = (files: readonly string[]) => {
    const imports = files.map((file) => `await import(${JSON.stringify(resolve('dist/commands', file))})`)
    const { status, stderr, files: loaded } = node('--input-type=module', '-e', imports.join('\n'))
    assert.is(status, 0, stderr)
    return packages(loaded)
  }
  // All in one process, since each costs half a second; only a guilty one is looked for alone.
  if (loading(commands).length === 0) return
  assert.equal(
    commands.map((file) => ({ file, loads: loading([file]) })).filter(({ loads }) => loads.length > 0),
    [],
  )
})

test('raftctl runs node with the flags of a process that serves, through a link as well', () => {
  const link = join(root, 'raftctl')
  symlinkSync(join(root, 'bin/run.js'), link)
  const NODE_OPTIONS = '--import=data:text/javascript,process.stderr.write(process.execArgv.join())'
  const { status, stdout, stderr } = spawnSync(link, ['--version'], { encoding: 'utf8', env: { ...process.env, NODE_OPTIONS } })
  assert.is(status, 0)
  assert.match(stdout, /^raftctl\//)
  assert.is(stderr, NODE_FLAGS.join())
})

test.run()
