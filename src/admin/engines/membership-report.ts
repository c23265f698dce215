import type { raftctl } from '../../generated/raftctl.js'
import { fromInt64 } from '../../raft/types.js'
import type { MemberReport, MemberRole, MembershipReport } from '../node-report.js'

type Int64 = Parameters<typeof fromInt64>[0]

/** raftctl.v1.Membership in the words of the commands. */
export function membershipReport(membership: raftctl.v1.Membership.$Properties): MembershipReport {
  return {
    members: (membership.members ?? []).map(memberReport),
    oldMembers: (membership.old_members ?? []).map(memberReport),
    configIndex: fromInt64(membership.config_index as Int64),
    entryIndex: fromInt64(membership.entry_index as Int64),
    stage: membership.stage || 'none',
    committed: membership.committed === true,
  }
}

function memberReport(member: raftctl.v1.Member.$Properties): MemberReport {
  return { peerId: member.peer_id ?? '', name: member.name ?? '', role: roleOf(member.role) }
}

function roleOf(role: string | null | undefined): MemberRole {
  return role === 'learner' || role === 'witness' ? role : 'voter'
}
