import * as grpc from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readErrorDetail, toGrpcError } from '../../../src/rpc/error-detail.js'

test('the detail of an error reads back', () => {
  const detail = { code: 'E_NO_LEADER', leaderHint: '127.0.0.1:7001:0:0', retryable: true, applied: 'no' as const }
  const error = toGrpcError(grpc.status.UNAVAILABLE, detail, 'no leader')
  assert.is(error.code, grpc.status.UNAVAILABLE)
  assert.is(error.details, 'no leader')
  assert.equal(readErrorDetail(error), detail)
})

test('without a leader there is no hint', () => {
  const error = toGrpcError(grpc.status.ABORTED, { code: 'E_CAS', retryable: false, applied: 'unknown' }, 'x')
  assert.equal(readErrorDetail(error), { code: 'E_CAS', leaderHint: undefined, retryable: false, applied: 'unknown' })
})

test('an error of something else has no detail', () => {
  assert.is(readErrorDetail({}), null)
  assert.is(readErrorDetail({ metadata: new grpc.Metadata() }), null)
  for (const bytes of [Buffer.from([0x1a, 0x05, 1]), Buffer.from('garbage'), Buffer.from([0x1a, 0x03, 0x0a, 0x01, 0x61])]) {
    const metadata = new grpc.Metadata()
    metadata.set('grpc-status-details-bin', bytes)
    assert.is(readErrorDetail({ metadata }), null)
  }
})

test.run()
