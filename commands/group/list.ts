import { Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { watchFlags } from '../../src/terminal/flags.js'
import { GROUP_COLUMNS } from '../../src/terminal/group-view.js'

export default class GroupList extends ClusterCommand {
  static override summary = 'List the Raft groups that the nodes host.'
  static override description =
    'Every member of the group of the context (or of -g) is asked which groups it hosts, and then whoever is a member of one of those; no leader is needed. What is half created, or left behind by a removal, is said in the note.'
  static override schema = 'raftctl.group.list/1'
  static override exitCodes = [3, 5, 7, 8, 11]
  static override hiddenAliases = ['group:ls']
  static override seeAlso = ['group create', 'group remove', 'status']
  static override outputColumns = GROUP_COLUMNS
  static override examples = [
    '<%= config.bin %> group list',
    '<%= config.bin %> group list --json --field groups[].group',
    { description: 'A check for scripts', command: '<%= config.bin %> group list --exit-code --quiet' },
  ]
  static override flags = {
    ...watchFlags,
    'exit-code': Flags.boolean({ description: 'exit 3 unless every group is ok' }),
  }

  async run() {
    const { flags } = await this.parse(GroupList)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { listGroups } = await import('../../src/admin/groups.js')
    const { printGroups } = await import('../../src/terminal/group-view.js')
    using client = new ClusterClient(connection)
    const once = async () => {
      const { data, clusterId, error } = await listGroups(client, connection)
      const well = data.groups.every(({ state, problems }) => state === 'ok' && problems.length === 0)
      const exitCode = flags['exit-code'] && !well ? 3 : 0
      return this.result(data, (out) => printGroups(out, data.groups), { clusterId, error, exitCode })
    }
    return await (flags.watch === undefined ? once() : this.watch(flags.watch, once))
  }
}
