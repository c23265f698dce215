// timeout: 300s
import { test } from 'uvu'
import { runShare } from './smoke-share.js'

// A file of its own, so that it runs on the other core.
test('J04 no invariant breaks in another sample of seeds, and enough happened in it', () => runShare(151, 300))

test.run()
