import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PROJECT } from '../support/run-cli.js'

test('an export, a public member or a number that nobody explains is found; what a base, a name or a docstring says is enough', () => {
  const folder = mkdtempSync(join(tmpdir(), 'raftctl-api-'))
  const file = join(folder, 'planted.d.ts')
  writeFileSync(
    file,
    `/** Told. */
export interface Base {
  /** Told here. */
  told(): void
}
/** Told. */
export declare class Planted implements Base {
  private hidden(): void
  told(): void
  untold(): void
}
export declare function silent(): void
/** Told. */
export interface Numbers {
  timeoutMs: number
  amount: number
  /** Of bricks. */
  height: number
}
`,
  )
  const { status, stderr } = spawnSync(process.execPath, [join(PROJECT, 'scripts/api-doc.mjs'), '--check', file], { encoding: 'utf8' })
  rmSync(folder, { recursive: true })
  assert.is(status, 1)
  assert.equal(stderr.trim().split('\n').sort(), [
    'Numbers.amount: a number of what? Neither its name nor a docstring says the unit',
    'Planted.untold: a public member without a docstring',
    'silent: what is it? It is exported without a docstring',
  ])
})

test.run()
