import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BraftBinaries } from '../../interop/binaries.js'
import { belowFloors, InteropCounts, perMinute } from '../../interop/interop-counts.js'
import { parseOptions } from '../../interop/options.js'
import { SCENARIOS } from '../../interop/scenarios/index.js'
import { PROJECT } from '../../support/run-cli.js'

const KNOWN = ['one', 'two']
const parse = (...args: string[]) => parseOptions(args, KNOWN)

test('all scenarios run when none is named', () => {
  assert.equal(parse('--braft', 'bin'), {
    options: { braft: 'bin', minutes: 10, seed: 1, keep: false, quiet: false, scenarios: KNOWN },
  })
})

test('minutes, seed and scenarios are taken', () => {
  assert.equal(parse('two', '--minutes', '0.5', '--seed', '7', '--braft', 'bin', '--keep', '--quiet'), {
    options: { braft: 'bin', minutes: 0.5, seed: 7, keep: true, quiet: true, scenarios: ['two'] },
  })
})

test('what is wrong is named', () => {
  assert.equal(parse(), { problem: '--braft is missing: the directory that holds the programs of braft' })
  assert.equal(parse('--braft', '--minutes'), { problem: '--braft takes a directory' })
  assert.equal(parse('--minutes', 'many'), { problem: '--minutes takes a number above 0, not "many"' })
  assert.equal(parse('--seed', '1.5'), { problem: '--seed takes a whole number, not "1.5"' })
  assert.equal(parse('three'), { problem: 'there is no scenario three' })
  assert.equal(parse('--loud'), { problem: 'there is no option --loud' })
})

test('programs that are not there, or may not be run, are missing', () => {
  const directory = mkdtempSync(join(tmpdir(), 'raftctl-interop-'))
  try {
    writeFileSync(join(directory, 'counter_server'), '')
    chmodSync(join(directory, 'counter_server'), 0o755)
    writeFileSync(join(directory, 'braft_cli'), '')
    chmodSync(join(directory, 'braft_cli'), 0o644)
    const binaries = new BraftBinaries(directory)
    const wanted = ['counter_server', 'braft_cli', 'block_client', 'braft_cli'] as const
    assert.equal(binaries.missing(wanted), ['braft_cli', 'block_client'])
    assert.equal(binaries.missing(['counter_server', 'block_client']), ['block_client'])
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('a directory without the programs is refused before anything starts', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'raftctl-interop-'))
  try {
    const run = await execa(process.execPath, [join(PROJECT, 'scripts/interop.mjs'), '--braft', directory], { reject: false })
    assert.is(run.exitCode, 2)
    assert.match(run.stderr, `${directory} lacks counter_server`)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('every scenario has a name of its own, and floors that nothing at all stays below', () => {
  assert.is(new Set(SCENARIOS.map(({ name }) => name)).size, SCENARIOS.length)
  for (const { name, floors } of SCENARIOS) assert.ok(belowFloors(new InteropCounts(), floors(0.1)).length > 0, name)
})

test('floors grow with the time and are never nothing', () => {
  assert.equal(perMinute(10, { kills: 2, wipes: 0.01 }), { kills: 20, wipes: 1 })
  const counts = new InteropCounts()
  counts.kills = 19
  assert.equal(belowFloors(counts, perMinute(10, { kills: 2 })), ['kills=19 < 20'])
  counts.kills = 20
  assert.equal(belowFloors(counts, perMinute(10, { kills: 2 })), [])
})

test.run()
