import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { braft } from '../../../src/generated/braft.js'
import { ErrorCode } from '../../../src/raft/errors.js'
import { fromInt64 } from '../../../src/raft/types.js'
import { type MessageCodec, ProtoBufFile } from '../../../src/storage/protobuf-file.js'
import { LogBench } from '../../support/log-bench.js'

type LogMeta = { first_log_index: number }

const codec: MessageCodec<LogMeta> = {
  encode: (message) => braft.LogPBMeta.encode(message),
  decode: (bytes) => ({ first_log_index: fromInt64(braft.LogPBMeta.decode(bytes).first_log_index) }),
}
const PATH = '/data/log_meta'

function bench(): LogBench {
  const made = new LogBench()
  made.disk.disk.mkdir('/data')
  return made
}

const fileOn = (on: LogBench) => new ProtoBufFile(on.disk, PATH, codec)
const save = (on: LogBench, first: number) => on.tryCall<void>((done) => fileOn(on).save({ first_log_index: first }, done))
const load = (on: LogBench) => on.call<LogMeta>((done) => fileOn(on).load(done))

test('the bytes are those of braft', () => {
  const on = bench()
  save(on, 1)
  assert.is(on.disk.bytesOf(PATH).toString('hex'), '000000020801')
  save(on, 10001)
  assert.is(on.disk.bytesOf(PATH).toString('hex'), '0000000308914e')
  assert.equal(on.disk.namesIn('/data'), ['log_meta'])
})

test('a missing file is ENOENT, a short or unreadable one ECORRUPT, bytes behind the message are ignored', () => {
  const on = bench()
  assert.is(load(on).status.code, ErrorCode.ENOENT)
  for (const hex of [
    '',
    '00',
    '000000',
    '00000003080102'.slice(0, 12),
    '00000002',
    '0000000208',
    '7fffffff0801',
    '00000002ffff',
    '0000000108',
    '00000000',
  ]) {
    on.disk.put(PATH, Buffer.from(hex, 'hex'))
    const { status } = load(on)
    assert.is(status.code, ErrorCode.ECORRUPT, `${hex}: ${status}`)
    assert.match(status.message, PATH)
  }
  on.disk.put(PATH, Buffer.from('000000020801ffffff', 'hex'))
  assert.equal(load(on).value, { first_log_index: 1 })
})

test('power lost at any operation of a save leaves the old message or the new one, an answered save the new one', () => {
  let crashes = 0
  for (let at = 1; at < 10; at++) {
    for (const last of ['not done', 'half done', 'done'] as const) {
      for (let seed = 1; seed <= 10; seed++) {
        const on = new LogBench(1, seed)
        on.disk.disk.mkdir('/data')
        save(on, 111)
        on.disk.stopAtChange(at, last)
        const answered = save(on, 222) !== null
        on.disk.crash(answered ? 0 : seed / 10)
        const { status, value } = load(on)
        assert.is(status.toString(), 'OK', `operation ${at} ${last}`)
        assert.ok(value!.first_log_index === 222 || (!answered && value!.first_log_index === 111))
        if (!answered) crashes++
      }
    }
  }
  assert.is(crashes, 5 * 3 * 10, 'create, write, sync, rename, sync of the directory')
})

test('a failed step of a save is passed on', () => {
  for (const pattern of [/^create/, /^write/, /^datasync/, /^rename/, /^syncDir/]) {
    const on = bench()
    on.disk.refuse(pattern, ErrorCode.ENOSPC)
    assert.is(save(on, 5)!.status.code, ErrorCode.ENOSPC, String(pattern))
  }
})

test.run()
