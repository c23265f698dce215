import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Footprint } from '../../../src/local/footprint.js'
import { takeDataDirectory } from '../../../src/server/data-directory.js'

const test = suite('directories that cannot be made')

// Node's own recursive mkdir spins for ever there.
const NOWHERE = '/proc/raftctl-nowhere/deeper'

test('cluster start is told so at once', () => {
  assert.throws(() => new Footprint().makeDirectory(NOWHERE), /ENOENT|EROFS|EACCES|EPERM/)
})

test('node start is told so at once', async () => {
  const error = await takeDataDirectory(NOWHERE).then(
    () => null,
    (thrown: { code: string }) => thrown,
  )
  assert.is(error?.code, 'E_DATA_DIR')
})

test.run()
