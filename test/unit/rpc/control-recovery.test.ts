import * as grpc from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration, ConfigurationEntry } from '../../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { Standing } from '../../../src/raft/messages.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { Control } from '../../../src/rpc/control-definition.js'
import type { ControlHost, ControlledNode } from '../../../src/rpc/control-host.js'
import { type Recovery, recoveryHandlers } from '../../../src/rpc/control-recovery.js'
import { readErrorDetail } from '../../../src/rpc/error-detail.js'
import { Faults } from '../../../src/rpc/faults.js'
import { type Handlers, ServiceClient } from '../../../src/rpc/grpc.js'
import { ProcessIdentity } from '../../../src/rpc/identity.js'
import { NodeManager } from '../../../src/rpc/node-manager.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { nodeStatus } from '../../support/rpc.js'

const closers: (() => unknown)[] = []

test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const n1 = PeerId.parse('127.0.0.1:1:0:0')!
const [n2, n3, n4, n5] = [2, 3, 4, 5].map((port) => PeerId.parse(`127.0.0.1:${port}:0:0`)!) as [PeerId, PeerId, PeerId, PeerId]

async function serve(handlers: Partial<Handlers<(typeof Control)['methods']>>): Promise<number> {
  const server = new RpcServer()
  server.addGrpcService(Control, handlers as Handlers<(typeof Control)['methods']>)
  const { port } = await server.listen()
  closers.push(() => server.close({ deadlineMs: 0 }))
  return port
}

/** n1, a voter among n1 … n5, in generation 3; of the others run those that the test names. */
class Bench {
  readonly recorded: Recovery[] = []
  readonly reset: string[] = []
  outcome = Status.OK
  standing: Standing = 'member'
  configIndex = 40
  private readonly faults = new Faults(true)
  private client: ServiceClient<typeof Control.methods> | null = null

  async start(running: readonly { peer: PeerId; standing?: string; group?: string }[] = []): Promise<this> {
    const dialMap: Record<string, string> = {}
    for (const { peer, standing = 'member', group = 'kv' } of running) {
      const port = await serve({
        Probe: (_call, done) => done(null, { version: '0.1.0', standing, groups: [group] }),
        ListGroups: (_call, done) => done(null, { groups: [{ group, peer_id: peer.toString(), state: 'FOLLOWER' }] }),
      })
      dialMap[peer.address] = `127.0.0.1:${port}`
    }
    this.faults.set({ dialMap })
    const identity = new ProcessIdentity(n1, 'n1', 'boot', '0.1.0', 'c'.repeat(32))
    identity.setDirectory({ incarnation: 'i', generation: 1 })
    const nodes = new NodeManager<ControlledNode>()
    nodes.add({
      groupId: 'kv',
      peerId: n1,
      status: () => this.status(),
      resetPeers: (conf: Configuration) => {
        this.reset.push(conf.toString())
        return this.outcome
      },
    } as unknown as ControlledNode)
    const recordRecovery = async (_group: string, recovery: Recovery) => {
      assert.equal(this.reset, [], 'it is recorded before it is done')
      this.recorded.push(recovery)
      return recovery.generation
    }
    const parts = { faults: this.faults, executor: new EventLoopExecutor(), nameOf: () => '', generationOf: () => 3 }
    const host = { identity, nodes, ...parts, recordRecovery }
    const port = await serve(recoveryHandlers(host as unknown as ControlHost))
    const channel = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
    closers.push(() => channel.close())
    this.client = new ServiceClient(Control, channel)
    return this
  }

  /** The new generation, or the code of the refusal and its words. */
  async ask(members: readonly PeerId[], more: { expect_generation?: number; expect_config_index?: number } = {}) {
    const request = { group: 'kv', expect_generation: 3, members: members.map((peer) => ({ peer_id: peer.toString() })), ...more }
    try {
      return Number((await this.client!.call('ResetPeers', request)).generation)
    } catch (error) {
      return `${readErrorDetail(error as grpc.ServiceError)!.code}: ${(error as grpc.ServiceError).details}`
    }
  }

  private status() {
    const { configIndex, standing } = this
    const id = { index: logIndex(45), term: asTerm(8) }
    const conf = new Configuration([n1, n2, n3, n4, n5])
    const configuration = new ConfigurationEntry(id, conf, Configuration.EMPTY, [], logIndex(configIndex))
    const lastId = { index: logIndex(60), term: asTerm(8) }
    return nodeStatus({ groupId: 'kv', peerId: n1, configuration, standing, lastId, committedIndex: logIndex(57), term: asTerm(9) })
  }
}

test('J02 a member whose majority is gone is told who the members are, and keeps what was replaced by what', async () => {
  const bench = await new Bench().start([{ peer: n2 }])
  assert.is(await bench.ask([n1, n2], { expect_config_index: 40 }), 4)
  assert.equal(bench.reset, [`${n1},${n2}`])
  const [{ at, ...recovery }] = bench.recorded as [Recovery]
  assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000, at)
  assert.equal(recovery, {
    generation: 4,
    group: 'kv',
    before: [n1, n2, n3, n4, n5].join(),
    after: `${n1},${n2}`,
    configIndex: 40,
    term: 9,
    lastIndex: 60,
    committedIndex: 57,
    lost: [n3, n4, n5].join(),
  })
})

test('J02 while a majority answers nothing is set by hand', async () => {
  const bench = await new Bench().start([{ peer: n2 }, { peer: n3 }])
  assert.match(String(await bench.ask([n1])), /^E_QUORUM_ALIVE: 127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3 of 5 voters answer/)
  assert.equal([bench.recorded, bench.reset], [[], []])
})

test('J02 who is being rebuilt, or serves another group, is no voter that answers', async () => {
  const bench = await new Bench().start([{ peer: n2, standing: 'rebuilding' }, { peer: n3, group: 'other' }, { peer: n4 }])
  assert.match(String(await bench.ask([n1, n2])), /^E_QUORUM_AT_RISK: 127.0.0.1:2 does not answer/)
  assert.is(await bench.ask([n1, n4]), 4)
})

test('J02 a plan upon another generation or other members is stale', async () => {
  const bench = await new Bench().start()
  assert.match(String(await bench.ask([n1], { expect_generation: 2 })), /^E_PLAN_STALE: .*generation 3.*generation 2/)
  assert.match(String(await bench.ask([n1], { expect_config_index: 39 })), /^E_PLAN_STALE: .*entry 40.*entry 39/)
  assert.equal([bench.recorded, bench.reset], [[], []])
})

test('J02 only voters that are left may stay, the asked one among them, and none that may lack anything', async () => {
  const bench = await new Bench().start([{ peer: n2 }])
  assert.match(String(await bench.ask([])), /^E_USAGE/)
  assert.match(String(await bench.ask([n2])), /^E_USAGE: 127.0.0.1:1:0:0 itself/)
  assert.match(String(await bench.ask([n1, PeerId.parse('127.0.0.1:9')!])), /^E_NO_SUCH_NODE/)
  bench.standing = 'rebuilding'
  assert.match(String(await bench.ask([n1])), /^E_NOT_CAUGHT_UP/)
  bench.standing = 'member'
  bench.outcome = Status.error(ErrorCode.EBUSY, 'a change is under way')
  assert.match(String(await bench.ask([n1])), /^E_CONFIG_PENDING/)
})

test.run()
