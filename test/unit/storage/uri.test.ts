import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseStorageUri } from '../../../src/storage/uri.js'

test('a storage address is split at the first ://, as braft does', () => {
  assert.equal(parseStorageUri('local://./data/log'), { type: 'local', parameter: './data/log' })
  assert.equal(parseStorageUri(' memory ://'), { type: 'memory', parameter: '' })
  assert.equal(parseStorageUri('local:// a b\tc\n'), { type: 'local', parameter: 'abc' })
  assert.equal(parseStorageUri('local://a://b'), { type: 'local', parameter: 'a://b' })
  assert.is(parseStorageUri('/data/log'), null)
})

test.run()
