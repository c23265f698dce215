import { Kv, kvHandlers } from '../machines/kv/grpc-service.js'
import type { Checksum, Executor } from '../raft/environment.js'
import { cliService } from '../rpc/cli-service.js'
import { Control } from '../rpc/control-definition.js'
import { type ControlHost, ControlService } from '../rpc/control-service.js'
import { fileService } from '../rpc/file-service.js'
import { alivePage, Health, healthHandlers, readyPage } from '../rpc/health.js'
import { Peer } from '../rpc/peer-definition.js'
import type { PeerService } from '../rpc/peer-service.js'
import { raftService } from '../rpc/raft-service.js'
import { raftStatHandler, raftStatService } from '../rpc/raft-stat.js'
import type { RpcServer } from '../rpc/server.js'
import type { GroupHost } from './group-host.js'
import type { Metrics } from './metrics.js'

export interface NodeServicesOptions {
  readonly host: ControlHost
  readonly executor: Executor
  readonly checksum: Checksum
  readonly peerService: PeerService
  readonly metrics: Metrics
  readonly groupOf: (groupId: string) => GroupHost | null
}

/** Everything that the one port of a node answers. */
export function addNodeServices(server: RpcServer, options: NodeServicesOptions): void {
  const { host, executor, checksum, peerService, metrics, groupOf } = options
  const { nodes } = host
  server.addGrpcService(Peer, peerService.handlers)
  server.addGrpcService(Control, new ControlService(host).handlers)
  server.addGrpcService(Kv, kvHandlers({ serviceOf: (groupId) => groupOf(groupId)?.service ?? null }))
  server.addGrpcService(Health, healthHandlers)
  server.addService(raftService({ nodes, executor, checksum }))
  server.addService(cliService({ nodes, executor }))
  server.addService(fileService())
  server.addService(raftStatService(nodes))
  server.addRoute('/raft_stat', raftStatHandler(nodes))
  server.addRoute('/raft_stat/', raftStatHandler(nodes))
  server.addRoute('/health', alivePage)
  server.addRoute('/healthz', alivePage)
  server.addRoute('/readyz', readyPage(nodes))
  server.addRoute('/metrics', async () => ({
    status: 200,
    contentType: 'text/plain; version=0.0.4; charset=utf-8',
    body: await metrics.text(),
  }))
}
