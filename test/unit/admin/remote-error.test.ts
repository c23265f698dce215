import { createServer } from 'node:net'
import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { jsonBytes, kvError, shown } from '../../../src/admin/key-value.js'
import { probe } from '../../../src/admin/probe.js'
import { remoteError } from '../../../src/admin/remote-error.js'
import { OutcomeUnknownError, RefusedError, UnreachableError } from '../../../src/machines/kv/client.js'
import { KvFailure } from '../../../src/machines/kv/failure.js'
import { type ErrorDetail, toGrpcError } from '../../../src/rpc/error-detail.js'

function serviceError(code: status, details: string, metadata = new Metadata()): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata })
}

function withDetail(code: status, detail: ErrorDetail): ServiceError {
  return serviceError(code, 'said so', toGrpcError(code, detail, 'said so').metadata)
}

const read = { endpoint: 'h:1', kind: 'read' } as const
const write = { endpoint: 'h:1', kind: 'write', check: 'raftctl kv get k' } as const

test('a code that the node names is taken, with what it says about the leader', () => {
  const error = remoteError(
    withDetail(status.UNAVAILABLE, { code: 'E_NO_LEADER', leaderHint: 'h:2:0:0', retryable: true, applied: 'no' }),
    write,
  )
  assert.is(error.exitCode, 4)
  assert.equal([error.details.leaderHint, error.details.applied, error.details.retryable], ['h:2:0:0', 'no', true])
})

test('a node that cannot tell whether it applied leaves the outcome unknown, with how to look', () => {
  const error = remoteError(withDetail(status.UNAVAILABLE, { code: 'E_NO_LEADER', retryable: false, applied: 'unknown' }), write)
  assert.is(error.exitCode, 13)
  assert.match(error.hint, 'raftctl kv get k')
})

test('a write that broke off after it was sent is unknown, one that never left is unreachable, a read is just unreachable', () => {
  assert.is(remoteError(serviceError(status.DEADLINE_EXCEEDED, 'Deadline exceeded'), write).exitCode, 13)
  assert.is(remoteError(serviceError(status.UNAVAILABLE, 'Connection dropped'), write).exitCode, 13)
  assert.is(remoteError(serviceError(status.UNAVAILABLE, 'No connection established. Last error: ECONNREFUSED'), write).exitCode, 5)
  assert.is(remoteError(serviceError(status.DEADLINE_EXCEEDED, 'Deadline exceeded'), read).exitCode, 5)
})

test('status codes without a detail have their exit codes', () => {
  const codes: [status, number][] = [
    [status.UNIMPLEMENTED, 6],
    [status.UNAUTHENTICATED, 9],
    [status.INVALID_ARGUMENT, 2],
    [status.DATA_LOSS, 10],
    [status.FAILED_PRECONDITION, 1],
  ]
  for (const [code, exitCode] of codes) assert.is(remoteError(serviceError(code, 'x'), read).exitCode, exitCode, status[code])
})

test('what the key-value client throws keeps its code', () => {
  assert.is(kvError(new UnreachableError('h:1', 'tcp', 'refused')).exitCode, 5)
  assert.is(kvError(new UnreachableError('h:1', 'tcp', 'refused')).details.stage, 'tcp')
  assert.is(kvError(new OutcomeUnknownError('sent'), 'raftctl kv get k').exitCode, 13)
  assert.is(kvError(new RefusedError(new KvFailure(14, 'E_NO_LEADER', 'nobody leads'))).exitCode, 4)
  assert.is(kvError(new RefusedError(new KvFailure(9, 'SESSION_EXPIRED', 'gone', 'unknown'))).exitCode, 13)
  assert.is(kvError(new RefusedError(new KvFailure(9, 'E_FROM_THE_FUTURE', 'x'))).code, 'E_INTERNAL')
})

test('bytes are text where they are UTF-8, and base64 where they are not', () => {
  assert.is(jsonBytes(Buffer.from('grüße')), 'grüße')
  assert.equal(jsonBytes(Buffer.from([0xff, 0xfe])), { base64: '//4=' })
  assert.is(jsonBytes(Buffer.from('\ufeffx')), '\ufeffx', 'a byte order mark is part of the value')
  assert.is(shown(Buffer.from('a\u001b[2Jb\n')), 'a\\u001b[2Jb\\n')
  assert.is(shown(Buffer.from([0xff])), 'base64:/w==')
})

test('a probe names the stage: the name, the port, or what speaks there', async () => {
  const target = (endpoint: string) => ({ endpoint, tls: false, timeoutMs: 1000 })
  assert.is((await probe(target('no-such-host.invalid:1'), 'x')).stage, 'dns')
  const refused = await probe(target('127.0.0.1:1'), 'x')
  assert.equal([refused.stage, refused.message], ['tcp', 'connection refused'])
  const server = createServer((socket) => socket.end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const open = await probe(target(`127.0.0.1:${port}`), 'it does not speak gRPC')
  assert.equal([open.stage, open.message], ['grpc', 'it does not speak gRPC'])
  server.close()
})

test.run()
