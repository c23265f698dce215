import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseStat, processStat } from '../../../src/storage/process-stat.js'

const line = (state: string, threads: number) =>
  `6170 (a (name) Z) ${state} 6168 6164 3789 0 -1 4227084 3006 6541 6 1 8 6 15 14 20 0 ${threads} 0 5976846 0 0 184467`

test('a process is told by its state and its start', () => {
  assert.equal(parseStat(line('S', 11)), { state: 'S', start: '5976846' })
  const own = processStat(process.pid)
  if (process.platform === 'linux') assert.ok(own !== null && own !== 'gone' && own.state === 'R')
  assert.is(processStat(2 ** 30), null, 'nothing is said of it')
})

test('a killed process is gone once its last thread is: one that waits for the disk holds files and ports until then', () => {
  assert.is(parseStat(line('Z', 1)), 'gone')
  assert.is(parseStat(line('X', 0)), 'gone')
  assert.equal(parseStat(line('Z', 2)), { state: 'Z', start: '5976846' })
})

test.run()
