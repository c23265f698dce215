// alone: up to five nodes and their clients need the machine
// timeout: 180s
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { runChaos } from './chaos/chaos-run.js'
import { belowFloors, ChaosCounts } from './chaos/counts.js'

const SECONDS = 60
const SEED = Number(process.env.RAFTCTL_CHAOS_SEED ?? Math.floor(Date.now() / 1000) % 100_000)
const totals = new ChaosCounts()

async function torment(size: number, seconds: number): Promise<void> {
  const diary: string[] = []
  const { counts, linearizable, problems, kept, fullBy } = await runChaos({ size, seconds, seed: SEED, onNote: (line) => diary.push(line) })
  console.log(`      nodes=${size} seed=${SEED} seconds=${seconds} ${counts} linearizable=${linearizable} (disks filled by ${fullBy})`)
  totals.add(counts)
  if (kept) console.log(diary.join('\n'))
  assert.equal(problems, [], `kept in ${kept}; again with: npm run chaos:soak -- --seconds ${seconds} --nodes ${size} --seed ${SEED}`)
  assert.is(linearizable, 'yes')
}

test('three nodes under kill -9, sleep, cuts, full disks and a lost directory: linearizable, nothing acknowledged is lost', async () => {
  await torment(3, SECONDS / 2)
})

test('five nodes likewise', async () => {
  await torment(5, SECONDS / 2)
})

test('enough happened', () => {
  assert.equal(belowFloors(totals, SECONDS / 60), [], String(totals))
})

test('a run in which nothing happened is below the floors', () => {
  assert.ok(belowFloors(new ChaosCounts(), 1).length > 10)
})

test.run()
