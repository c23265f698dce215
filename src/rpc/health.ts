import { defineService, type Handlers, rawCodec, unary } from './grpc.js'
import { type HttpHandler, jsonReply, textReply } from './http.js'
import type { ManagedNode, NodeManager } from './node-manager.js'

/** grpc.health.v1: answers SERVING to everyone, as brpc does. */
export const Health = defineService('grpc.health.v1.Health', { Check: unary(rawCodec, rawCodec) })

/** HealthCheckResponse{status: SERVING}. */
const SERVING = Buffer.from([0x08, 0x01])

export const healthHandlers: Handlers<(typeof Health)['methods']> = { Check: (_call, callback) => callback(null, SERVING) }

/** The process is up. */
export const alivePage: HttpHandler = () => textReply('OK')

/** Whether a group here can serve: it knows a leader and did not fail. */
export interface GroupReadiness {
  readonly group: string
  readonly peer: string
  readonly state: string
  readonly leader: string | null
  readonly ready: boolean
  /** Why not; null when it is. */
  readonly reason: string | null
}

/** `GET /readyz`: 200 when every group is ready, 503 with the reasons otherwise and while there is none. */
export function readyPage(nodes: NodeManager): HttpHandler {
  return () => {
    const groups = nodes.all().map(readinessOf)
    const ready = groups.length > 0 && groups.every((group) => group.ready)
    return jsonReply({ ready, groups }, ready ? 200 : 503)
  }
}

export function readinessOf(node: ManagedNode): GroupReadiness {
  const { state, leaderId, error } = node.status()
  const leader = leaderId.isEmpty ? null : leaderId.toString()
  let reason: string | null = null
  if (state === 'ERROR') reason = `stopped by an error: ${error?.status ?? 'unknown'}`
  else if (leader === null) reason = 'no leader is known'
  return { group: node.groupId, peer: node.peerId.toString(), state, leader, ready: reason === null, reason }
}
