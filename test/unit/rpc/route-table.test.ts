import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { braft } from '../../../src/generated/braft.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { RouteTable } from '../../../src/rpc/route-table.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { rpcMethod } from '../../../src/rpc/service.js'

const NOBODY = PeerId.EMPTY.toString()

/** A member that names this leader, or answers that it knows none. */
async function memberNaming(leader: string | null): Promise<{ address: string; asked: string[]; close: () => Promise<unknown> }> {
  const asked: string[] = []
  const server = new RpcServer()
  server.addService({
    name: 'braft.CliService',
    methods: {
      get_leader: rpcMethod({
        request: braft.GetLeaderRequest,
        response: braft.GetLeaderResponse,
        json: { request: {}, response: {} },
        handle: (request, _context, done) => {
          asked.push(request.group_id)
          if (leader) done(Status.OK, { leader_id: leader })
          else done(Status.error(ErrorCode.EAGAIN, 'Unknown leader'))
        },
      }),
    },
  })
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 })
  return { address: `127.0.0.1:${port}`, asked, close: () => server.close({ deadlineMs: 0 }) }
}

test('a table knows the groups it was told of, and a leader only while that is a member', () => {
  const table = new RouteTable()
  assert.is(table.updateConfiguration('g', 'nonsense'), false)
  assert.is(table.updateConfiguration('g', ''), false)
  assert.is(table.updateLeader('g', '10.0.0.1:7000'), false)
  assert.is(table.selectLeader('g'), null)
  assert.is(table.updateConfiguration('g', '10.0.0.1:7000,10.0.0.2:7000'), true)
  assert.is(table.updateLeader('g', 'nonsense'), false)
  assert.is(table.updateLeader('g', '10.0.0.1:7000'), true)
  assert.is(table.selectLeader('g')?.toString(), '10.0.0.1:7000:0:0')
  table.updateConfiguration('g', '10.0.0.1:7000,10.0.0.3:7000')
  assert.is(table.selectLeader('g')?.address, '10.0.0.1:7000')
  table.updateConfiguration('g', '10.0.0.3:7000')
  assert.is(table.selectLeader('g'), null)
  assert.is(table.configuration('g')?.toString(), '10.0.0.3:7000:0:0')
  table.updateLeader('g', '10.0.0.3:7000')
  table.updateLeader('g', PeerId.EMPTY)
  assert.is(table.selectLeader('g'), null)
  assert.is(table.removeGroup('g'), true)
  assert.is(table.removeGroup('g'), false)
})

test('members are asked in turn until one names a leader', async () => {
  const ignorant = await memberNaming(null)
  const knowing = await memberNaming('10.0.0.9:7000:0:0')
  const table = new RouteTable()
  try {
    assert.is((await table.refreshLeader('g', 1000)).code, ErrorCode.ENOENT)
    table.updateConfiguration('g', `127.0.0.1:1,${ignorant.address},${knowing.address}`)
    const status = await table.refreshLeader('g', 1000)
    assert.ok(status.ok, `${status}`)
    assert.is(table.selectLeader('g')?.toString(), '10.0.0.9:7000:0:0')
    assert.equal([...ignorant.asked, ...knowing.asked], ignorant.asked.length === 0 ? ['g'] : ['g', 'g'])

    table.updateConfiguration('g', `127.0.0.1:1,${ignorant.address}`)
    const unknown = await table.refreshLeader('g', 1000)
    assert.is(unknown.code, ErrorCode.EAGAIN)
    table.updateConfiguration('g', `127.0.0.1:1,${ignorant.address},127.0.0.1:65535`)
    assert.is((await table.refreshLeader('g', 1000)).code, ErrorCode.EAGAIN, 'whoever could not be asked before and after it')
    table.updateConfiguration('g', '127.0.0.1:1')
    const nobody = await table.refreshLeader('g', 1000)
    assert.not(nobody.ok)
    assert.is.not(nobody.code, ErrorCode.EAGAIN)
  } finally {
    table.close()
    await ignorant.close()
    await knowing.close()
  }
})

test('a member that names nobody knows no leader: the next one is asked', async () => {
  const empty = [await memberNaming(NOBODY), await memberNaming(NOBODY)]
  const table = new RouteTable()
  try {
    table.updateConfiguration('g', empty.map(({ address }) => address).join(','))
    assert.is((await table.refreshLeader('g', 1000)).code, ErrorCode.EAGAIN)
    assert.equal(
      empty.map(({ asked }) => asked),
      [['g'], ['g']],
    )
    assert.is(table.selectLeader('g'), null)
  } finally {
    table.close()
    for (const one of empty) await one.close()
  }
})

test.run()
