import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../generated/raftctl.js'
import { PeerId } from '../raft/peer-id.js'
import { fromInt64 } from '../raft/types.js'
import { failure, unary, unimplemented, usage } from './control-common.js'
import type { Control } from './control-definition.js'
import type { ControlHost } from './control-host.js'
import { type FaultEffect, isLinkEffect, LONGEST_FAULT_MS } from './fault-effects.js'
import type { Handlers } from './grpc.js'

type ControlHandlers = Handlers<(typeof Control)['methods']>
type FaultMessage = raftctl.v1.Fault.$Properties

/** How far a clock may go wrong: beyond it timers of minutes fire at once, or never. */
const RATE_RANGE = { least: 0.1, most: 10 }

/** SetFaults and GetFaults: only a node that was started with --enable-faults takes any. */
export function faultHandlers(host: ControlHost): Pick<ControlHandlers, 'SetFaults' | 'GetFaults'> {
  return {
    SetFaults: unary(async (request) => setFaults(host, request)),
    GetFaults: unary(async () => faultsOf(host)),
  }
}

function setFaults(host: ControlHost, request: raftctl.v1.SetFaultsRequest): raftctl.v1.FaultsResponse.$Properties {
  const { faults, identity } = host
  if (!faults.enabled)
    throw failure(grpc.status.FAILED_PRECONDITION, 'E_FAULTS_DISABLED', `${identity.peerId.address} was started without --enable-faults`)
  for (const address of Object.values(request.dial_map))
    if (address !== '' && !PeerId.parse(address)) throw usage(`"${address}" in the dial map is no host:port`)
  const added = request.add.map((fault) => ({ id: idOf(fault), effect: effectOf(fault), ttlMs: ttlOf(fault) }))
  if (request.flip_group !== '') flipByte(host, request.flip_group)
  faults.set({
    dialMap: request.dial_map,
    delayMs: request.delay_ms,
    partition: request.partition,
    heal: request.heal,
    ttlMs: fromInt64(request.ttl_ms),
  })
  if (request.remove.length > 0) faults.remove(request.remove)
  for (const { id, effect, ttlMs } of added) faults.add(id, effect, ttlMs)
  return faultsOf(host)
}

function flipByte(host: ControlHost, groupId: string): void {
  const flipped = host.flipByte(groupId)
  if (flipped === null) throw unimplemented(`flipping a byte in group "${groupId}"`)
  if (flipped) return
  const { address } = host.identity.peerId
  throw failure(grpc.status.FAILED_PRECONDITION, 'E_NO_KEY', `group "${groupId}" of ${address} holds no value yet: write one first`)
}

function faultsOf({ faults }: ControlHost): raftctl.v1.FaultsResponse.$Properties {
  const { dialMap, delayMs, partition } = faults.settings
  return {
    dial_map: Object.fromEntries(dialMap),
    delay_ms: Object.fromEntries(delayMs),
    partition: [...partition],
    faults: faults.list().map(({ id, effect, leftMs }) => ({ id, ttl_ms: leftMs, ...messageOf(effect) })),
  }
}

function idOf({ id }: FaultMessage): string {
  if (id) return id
  throw usage('a fault without an id')
}

function ttlOf(fault: FaultMessage): number {
  const ttlMs = fromInt64(fault.ttl_ms)
  if (ttlMs > 0 && ttlMs <= LONGEST_FAULT_MS) return ttlMs
  throw usage(`fault ${fault.id} lasts ${ttlMs} ms; it must heal by itself, within an hour`)
}

/** Throws E_USAGE for what is no fault. */
function effectOf(fault: FaultMessage): FaultEffect {
  const peers = new Set(fault.peers ?? [])
  for (const peer of peers) if (!PeerId.parse(peer)) throw usage(`"${peer}" is no PeerId or host:port`)
  const { cut, delay, drop, skew, disk_full: diskFull, slow_disk: slowDisk } = fault
  if (cut) {
    const { direction } = cut
    if (direction !== 'in' && direction !== 'out' && direction !== 'both') throw usage(`"${direction}" is no direction: in, out or both`)
    if (peers.size === 0) throw usage(`fault ${fault.id} cuts no link: it names no peer`)
    return { kind: 'cut', peers, direction }
  }
  if (delay) return { kind: 'delay', peers, delayMs: delay.delay_ms ?? 0, jitterMs: delay.jitter_ms ?? 0 }
  if (drop) return { kind: 'drop', peers, percent: within(drop.percent ?? 0, { least: 0, most: 100 }, 'percent') }
  if (skew) return { kind: 'skew', aheadMs: skew.ahead_ms ?? 0, rate: within(skew.rate || 1, RATE_RANGE, 'rate') }
  if (diskFull) return { kind: 'disk-full', freeBytes: fromInt64(diskFull.free_bytes) }
  if (slowDisk) return { kind: 'slow-disk', delayMs: slowDisk.delay_ms ?? 0, jitterMs: slowDisk.jitter_ms ?? 0 }
  throw unimplemented(`fault ${fault.id}: its kind is not known here`)
}

function within(value: number, { least, most }: { readonly least: number; readonly most: number }, what: string): number {
  if (value >= least && value <= most) return value
  throw usage(`${what} ${value} is not from ${least} to ${most}`)
}

function messageOf(effect: FaultEffect): FaultMessage {
  const peers = isLinkEffect(effect) ? [...effect.peers] : []
  switch (effect.kind) {
    case 'cut':
      return { peers, cut: { direction: effect.direction } }
    case 'delay':
      return { peers, delay: { delay_ms: effect.delayMs, jitter_ms: effect.jitterMs } }
    case 'drop':
      return { peers, drop: { percent: effect.percent } }
    case 'skew':
      return { skew: { ahead_ms: effect.aheadMs, rate: effect.rate } }
    case 'disk-full':
      return { disk_full: { free_bytes: effect.freeBytes } }
    case 'slow-disk':
      return { slow_disk: { delay_ms: effect.delayMs, jitter_ms: effect.jitterMs } }
  }
}
