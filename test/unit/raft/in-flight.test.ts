import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BeatsInFlight } from '../../../src/raft/in-flight.js'
import { logIndex } from '../../../src/raft/types.js'

test('heartbeats under way are answered in any order, each once', () => {
  const beats = new BeatsInFlight()
  for (const seq of [3, 4, 7, 9]) beats.push({ seq, sentAt: seq * 10, round: 0, committed: logIndex(1) })
  assert.is(beats.get(5), null, 'a request with entries')
  const seven = beats.get(7)!
  assert.is(seven.sentAt, 70)
  beats.remove(seven)
  assert.is(beats.get(7), null)
  beats.remove(seven)
  assert.is(beats.count, 3, 'removed once')
  assert.is(beats.oldest?.seq, 3)
  beats.remove(beats.get(3)!)
  assert.is(beats.oldest?.seq, 4)
  assert.is(beats.get(9)?.seq, 9)
  beats.clear()
  beats.remove(seven)
  assert.is(beats.count, 0)
  assert.is(beats.oldest, null)
})

test.run()
