import { type CliServiceOptions, cliService } from './cli-service.js'
import { Control } from './control-definition.js'
import { type ControlHost, ControlService } from './control-service.js'
import { fileService } from './file-service.js'
import { alivePage, Health, healthHandlers, readyPage } from './health.js'
import type { NodeManager } from './node-manager.js'
import { Peer } from './peer-definition.js'
import type { PeerService } from './peer-service.js'
import { baiduStdPeerService } from './peer-service-baidu-std.js'
import { grpcPeerHandlers } from './peer-service-grpc.js'
import { type RaftServiceOptions, raftService } from './raft-service.js'
import { raftStatHandler, raftStatService } from './raft-stat.js'
import type { RpcServer } from './server.js'

/** Adds what braft's `add_service` adds: RaftService, CliService, FileService and raft_stat, on every protocol. */
export function addBraftServices(server: RpcServer, options: RaftServiceOptions & CliServiceOptions): void {
  server.addService(raftService(options))
  server.addService(cliService(options))
  server.addService(fileService(options.nodes, options.executor))
  server.addService(raftStatService(options.nodes))
  server.addRoute('/raft_stat', raftStatHandler(options.nodes))
  server.addRoute('/raft_stat/', raftStatHandler(options.nodes))
}

/** Adds raftctl.v1.Control: what raftctl's commands ask of a process. Whoever reaches the port may then change the members. */
export function addControlService(server: RpcServer, host: ControlHost): void {
  server.addGrpcService(Control, new ControlService(host).handlers)
}

/** Adds raftctl.v1.Peer in both protocols: each member speaks the one it was told to. */
export function addPeerService(server: RpcServer, service: PeerService): void {
  server.addGrpcService(Peer, grpcPeerHandlers(service))
  server.addBaiduStdService(baiduStdPeerService(service))
}

/** What the pages for monitors show. */
export interface PagesOptions {
  readonly nodes: NodeManager
  /** The text of `/metrics` in the Prometheus format; without it the page does not exist. */
  readonly metrics?: () => string | Promise<string>
}

/** Adds the pages that monitors ask for: `/health`, `/healthz`, `/readyz`, `/metrics`, and grpc.health.v1. */
export function addPages(server: RpcServer, { nodes, metrics }: PagesOptions): void {
  server.addRoute('/health', alivePage)
  server.addRoute('/healthz', alivePage)
  server.addRoute('/readyz', readyPage(nodes))
  server.addGrpcService(Health, healthHandlers)
  if (metrics)
    server.addRoute('/metrics', async () => ({
      status: 200,
      contentType: 'text/plain; version=0.0.4; charset=utf-8',
      body: await metrics(),
    }))
}
