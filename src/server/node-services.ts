import { Kv, kvHandlers } from '../machines/kv/grpc-service.js'
import { Pipeline, pipelineHandlers } from '../machines/kv/pipeline-service.js'
import type { Checksum, Executor } from '../raft/environment.js'
import type { PeerId } from '../raft/peer-id.js'
import { addBraftServices, addControlService, addPages, addPeerService } from '../rpc/builtin.js'
import type { AdministeredNode } from '../rpc/cli-service.js'
import type { ControlHost } from '../rpc/control-host.js'
import type { Faults } from '../rpc/faults.js'
import type { NodeManager } from '../rpc/node-manager.js'
import type { PeerService } from '../rpc/peer-service.js'
import type { RpcServer } from '../rpc/server.js'
import type { NodeConfiguration } from './configuration.js'
import type { GroupHost } from './group-host.js'
import { HostedKv, servicesOf } from './hosted-machine.js'
import type { Metrics } from './metrics.js'
import type { Peers } from './peers.js'

export interface NodeServicesOptions {
  readonly configuration: NodeConfiguration
  readonly host: ControlHost
  readonly nodes: NodeManager<AdministeredNode>
  readonly executor: Executor
  readonly checksum: Checksum
  readonly faults: Faults
  readonly peers: Peers
  readonly peerService: PeerService
  readonly metrics: Metrics
  readonly groupOf: (groupId: string) => GroupHost | null
  /** The group will be here once its directory is open. */
  readonly isStarting: (groupId: string) => boolean
}

/** Everything that the one port of a node answers. */
export function addNodeServices(server: RpcServer, options: NodeServicesOptions): void {
  const { group, machine, mixed } = options.configuration
  const { host, nodes, executor, checksum, faults, peers, peerService, metrics, groupOf, isStarting } = options
  addPeerService(server, peerService)
  addControlService(server, host)
  const serviceOf = (groupId: string) => {
    const hosted = groupOf(groupId)?.machine
    if (hosted) return hosted instanceof HostedKv ? hosted.service : { machine: hosted.kind }
    return isStarting(groupId) ? 'starting' : null
  }
  server.addGrpcService(Kv, kvHandlers({ serviceOf }))
  server.addGrpcService(Pipeline, pipelineHandlers({ serviceOf, executor }))
  for (const service of servicesOf(machine, () => groupOf(group)?.machine ?? null)) server.addService(service)
  const onBraftPeer = (groupId: string, peer: PeerId, taken: boolean) => peers.noteBraft(groupId, peer, taken)
  addBraftServices(server, { nodes, executor, checksum, faults, allowBraftPeers: () => mixed, onBraftPeer })
  addPages(server, { nodes, metrics: () => metrics.text() })
}
