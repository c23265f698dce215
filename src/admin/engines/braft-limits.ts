import { BrpcCode, codeInText } from '../../rpc/braft-error.js'
import { CliError } from '../../terminal/errors.js'

/** What braft nodes offer nobody, and what there is instead. */
const LIMITS = {
  log: {
    why: 'braft shows its log to nobody',
    instead: 'Read it on the machine of the node, while it runs:  raftctl data log DIR    (how long it is: raftctl log stats)',
  },
  snapshotCopy: {
    why: 'braft hands its snapshots to its own members only',
    instead: 'raftctl snapshot create --node MEMBER, then copy the newest snapshot_N of its data directory on its machine',
  },
  consistency: {
    why: 'braft cannot tell what state its machine is in',
    instead: 'raftctl status shows whether every member applied the same entry; what they made of it, only the application can compare',
  },
  history: {
    why: 'braft keeps no events',
    instead: 'Watch what happens from now on:  raftctl events -f',
  },
  keyValue: {
    why: 'it runs a state machine of its own, not the key-value store',
    instead: 'Use the client of the application. What there is of Raft itself:  raftctl status, member, leader, snapshot, log stats',
  },
  readIndex: { why: 'braft has no round that confirms its leader', instead: 'raftctl leader show' },
  disk: { why: 'braft does not measure its disk', instead: 'raftctl status' },
  roundTrips: { why: 'braft measures no round trips', instead: 'raftctl status' },
  other: {
    why: 'braft has no such service',
    instead:
      'What works on braft:  raftctl status, wait, events -f, member, leader, snapshot create, snapshot list, log stats, node status',
  },
} as const

export type BraftLimit = keyof typeof LIMITS

/** Whether brpc says so that it has no such service or method: what answers then is a node of braft. */
export function isBrpcRefusal(text: string): boolean {
  const code = codeInText(text)
  return code === BrpcCode.ENOSERVICE || code === BrpcCode.ENOMETHOD
}

/** Whom brpc names as the one that answered: `[127.0.0.1%3a8100][E1002]…` */
export function brpcAddress(text: string): string {
  return /^\[([^\]]+)\]/.exec(text)?.[1]?.replace(/%3a/gi, ':') ?? 'what answers'
}

/** E_UNSUPPORTED, saying that this is a braft node, why it cannot, and what to do instead. */
export function beyondBraft(endpoint: string, limit: BraftLimit): CliError {
  const { why, instead } = LIMITS[limit]
  return new CliError('E_UNSUPPORTED', `${endpoint} is a braft node: ${why}`, { hint: instead, details: { node: endpoint, kind: 'braft' } })
}
