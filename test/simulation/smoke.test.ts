// timeout: 300s
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { belowFloors } from './floors.js'
import { runShare } from './smoke-share.js'
import { Swarm } from './swarm.js'

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url))

/** What a process of its own says of that seed. */
function hashInNewProcess(seed: number): string | undefined {
  const output = execFileSync(process.execPath, [MAIN, '--seed', String(seed)], { encoding: 'utf8' })
  return / hash=([0-9a-f]{16}) /.exec(output)?.[1]
}

test('J05 the same seed twice gives the same trace', () => {
  for (const seed of [3, 7, 12, 15, 25]) {
    const first = Swarm.ofSeed(seed).run()
    const second = Swarm.ofSeed(seed).run()
    assert.is(first.hash, second.hash, `seed ${seed}`)
    assert.is(first.events, second.events, `seed ${seed}`)
  }
  assert.is.not(Swarm.ofSeed(3).run().hash, Swarm.ofSeed(4).run().hash)
})

test('J05 the same seed in two processes gives the same trace', () => {
  // 15 has three groups. This process has run other seeds before.
  for (const seed of [12, 15]) {
    const { hash } = Swarm.ofSeed(seed).run()
    assert.is(hashInNewProcess(seed), hash, `seed ${seed}`)
    assert.is(hashInNewProcess(seed), hash, `seed ${seed}`)
  }
})

test('J04 no invariant breaks in a sample of seeds, and enough happened in it', () => runShare(1, 150))

test('J04 a run in which nothing happened is below the floors', () => {
  assert.ok(belowFloors({}, 100).length > 5)
})

test.run()
