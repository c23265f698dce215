import { Flags } from '@oclif/core'
import type { MemberRow } from '../../src/admin/membership.js'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { watchFlags } from '../../src/terminal/flags.js'

export default class MemberList extends ClusterCommand {
  static override summary = 'List the members of the group, whatever state they are in.'
  static override description = 'The configuration is read from any member that answers; no leader is needed.'
  static override schema = 'raftctl.member.list/1'
  static override exitCodes = [3, 5, 7, 8]
  static override hiddenAliases = ['member:ls']
  static override seeAlso = ['status', 'leader show']
  static override outputColumns = {
    ID: 'its name, or its address',
    KIND: 'raftctl or braft, in a group of both',
    ROLE: 'leader, voter, learner or witness',
    STATE: 'ok, or what it is doing; capitals ask for attention',
    MATCH: 'newest entry the leader knows it holds; - on the leader and without one',
    PRIORITY: 'of those that are well the highest leads; where not all have the default',
    LAG: 'committed entries it has not applied',
  }
  static override examples = ['<%= config.bin %> member list', '<%= config.bin %> member list --json --field members[].id']
  static override flags = {
    ...watchFlags,
    'exit-code': Flags.boolean({ description: 'exit 3 unless every member is healthy' }),
  }

  async run() {
    const { flags } = await this.parse(MemberList)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { hasPriorities, listMembers } = await import('../../src/admin/membership.js')
    const { rememberMembers } = await import('../../src/local/member-cache.js')
    using client = new ClusterClient(connection)

    const once = async () => {
      const { list, clusterId, healthy, warnings } = await listMembers(client)
      rememberMembers(connection.context?.name ?? null, list.members)
      return this.result(
        list,
        (out) =>
          out.table(
            [
              { name: 'id', value: (row) => row.id },
              { name: 'address', value: (row) => row.address },
              ...(isMixed(list.members) ? [{ name: 'kind', value: kindText, priority: 3 }] : []),
              { name: 'role', value: (row) => (row.leader ? 'leader' : row.role) },
              { name: 'state', value: (row) => row.state },
              { name: 'match', value: (row) => (row.leader ? '-' : out.count(row.match)), align: 'right', priority: 1 },
              { name: 'lag', value: (row) => (row.leader ? '-' : out.count(row.lag)), align: 'right' },
              ...(hasPriorities(list.members) ? [{ name: 'priority', value: priorityText, priority: 3, align: 'right' as const }] : []),
              { name: 'version', value: (row) => row.version ?? '-', priority: 2 },
            ],
            list.members,
          ),
        { clusterId, exitCode: flags['exit-code'] && !healthy ? 3 : 0, warnings },
      )
    }
    return await (flags.watch === undefined ? once() : this.watch(flags.watch, once))
  }
}

function isMixed(members: readonly MemberRow[]): boolean {
  return new Set(members.flatMap(({ kind }) => kind ?? [])).size > 1
}

function priorityText({ priority }: MemberRow): string {
  return priority === null ? '-' : String(priority)
}

function kindText({ kind }: MemberRow): string {
  return kind ?? '-'
}
