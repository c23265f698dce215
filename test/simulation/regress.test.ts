import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseScript } from './script.js'
import { Swarm } from './swarm.js'

const REGRESS = fileURLToPath(new URL('../../../test/simulation/regress/', import.meta.url))

const files = readdirSync(REGRESS).filter((name) => name.endsWith('.txt'))

for (const file of files) {
  test(`what once failed passes: ${file}`, () => {
    const text = readFileSync(`${REGRESS}${file}`, 'utf8')
    assert.match(text, /^# .{20,}/, 'its first line says what failed')
    const swarm = Swarm.ofScript(parseScript(text))
    assert.is(swarm.run().violation, null, `npm run sim -- --replay test/simulation/regress/${file}`)
    assert.ok(swarm.decisions.length > 0, 'nothing of it could be done')
  })
}

test('there are scripts to run', () => {
  assert.ok(files.length >= 3, `${files.length} scripts`)
})

test.run()
