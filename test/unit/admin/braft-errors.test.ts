import { status as GrpcStatus, Metadata, type ServiceError } from '@grpc/grpc-js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { braftError } from '../../../src/admin/engines/braft-errors.js'
import { remoteError } from '../../../src/admin/remote-error.js'

const test = suite('what braft answers, in our words')

function failure(code: GrpcStatus, details: string): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() })
}

const write = { endpoint: '127.0.0.1:8100', kind: 'write', check: 'raftctl member list' } as const
const brpc = (number: number, text: string, status: GrpcStatus = GrpcStatus.INTERNAL) =>
  braftError(failure(status, `[127.0.0.1%3a8100][E${number}]${text}`), write)

test('the number decides, not the gRPC status', () => {
  const expected = [
    [1, 'Not leader', 'E_NO_LEADER', 4],
    [2, 'Fail to find node 127.0.0.1:8100:0:0 in group Counter', 'E_NO_GROUP', 7],
    [11, 'Unknown leader', 'E_NO_LEADER', 4],
    [13, 'CliService is not allowed to access node', 'E_UNSUPPORTED', 6],
    [16, 'Doing another configuration change', 'E_CONFIG_PENDING', 8],
    [22, 'Fail to parse peer_id', 'E_USAGE', 2],
    [113, 'No route to host', 'E_NOT_CAUGHT_UP', 6],
    [1002, 'Fail to find method', 'E_UNSUPPORTED', 6],
    [2003, 'Server is stopping', 'E_UNREACHABLE', 5],
    [2004, 'Reached server limit', 'E_BUSY', 6],
    [10003, 'Peer 127.0.0.1:8104 failed to catch up', 'E_WAIT_TIMEOUT', 124],
    [10016, 'node is readonly', 'E_READ_ONLY', 6],
  ] as const
  for (const [number, text, code, exitCode] of expected) {
    const error = brpc(number, text)
    assert.equal([error.code, error.exitCode, error.details.braftCode, error.details.applied], [code, exitCode, number, 'no'], text)
    assert.match(error.message, `127.0.0.1:8100: ${text}`)
  }
})

test('losing leadership in the middle of a change leaves its outcome open, and so does any number that is not known', () => {
  for (const error of [brpc(1, 'leader stepped down', GrpcStatus.PERMISSION_DENIED), brpc(10008, 'higher term'), brpc(2001, 'internal')]) {
    assert.equal([error.code, error.details.applied], ['E_OUTCOME_UNKNOWN', 'unknown'])
    assert.match(error.hint, 'raftctl member list')
  }
})

test('a text is read as brpc escaped it', () => {
  assert.is(brpc(16, 'a%3db%2fc%20d').message, '127.0.0.1:8100: a=b/c%20d')
})

test('without a number it is an error of the transport', () => {
  assert.is(braftError(failure(GrpcStatus.DEADLINE_EXCEEDED, 'Deadline exceeded'), write).code, 'E_OUTCOME_UNKNOWN')
  assert.is(braftError(failure(GrpcStatus.UNAVAILABLE, 'No connection established'), write).code, 'E_UNREACHABLE')
})

test('a node that does not know our service is told to be braft, in whatever way brpc says so', () => {
  for (const text of [
    "[127.0.0.1%3a8100][E1002]Fail to find method on `%2fraftctl.v1.Control%2fMark'",
    '[127.0.0.1%3a8100][E1001]Fail to find service',
  ]) {
    const error = remoteError(failure(GrpcStatus.UNIMPLEMENTED, text), { endpoint: '127.0.0.1:8100', kind: 'read' })
    assert.equal([error.code, error.details.kind], ['E_UNSUPPORTED', 'braft'])
    assert.match(error.message, 'is a braft node')
  }
  const ours = remoteError(failure(GrpcStatus.UNIMPLEMENTED, 'The server does not implement the method'), { endpoint: 'a:1', kind: 'read' })
  assert.is(ours.details.kind, undefined)
})

test.run()
