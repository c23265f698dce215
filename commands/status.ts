import { Flags } from '@oclif/core'
import { ClusterCommand } from '../src/terminal/cluster-command.js'
import { watchFlags } from '../src/terminal/flags.js'
import { STATUS_COLUMNS } from '../src/terminal/status-view.js'

export default class Status extends ClusterCommand {
  static override summary = 'Who leads, who is behind, who is down.'
  static override description =
    'Asks every member at once and merges what they say; one that answers is enough, with or without a leader. Exits 0 whenever a leader with a quorum exists.'
  static override schema = 'raftctl.status/1'
  static override exitCodes = [3, 4, 5, 7, 8]
  static override outputColumns = STATUS_COLUMNS
  static override seeAlso = ['leader show', 'member list', 'wait', 'cluster info']
  static override examples = [
    '<%= config.bin %> status',
    { description: 'Ask any one member of a cluster', command: '<%= config.bin %> status -e 10.0.0.1:7001' },
    { description: 'Keep watching', command: '<%= config.bin %> status --watch=500ms' },
    {
      description: 'In a script: 0 healthy, 3 degraded, 4 no leader, 5 nothing answers',
      command: '<%= config.bin %> status --exit-code -q',
    },
  ]
  static override flags = {
    ...watchFlags,
    'exit-code': Flags.boolean({ description: 'exit 3 when the cluster is degraded' }),
  }

  async run() {
    const { flags } = await this.parse(Status)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../src/admin/cluster-client.js')
    const { StatusReader } = await import('../src/admin/status.js')
    const { advise } = await import('../src/admin/advice.js')
    const { pausedAddresses } = await import('../src/local/paused.js')
    const { rememberMembers } = await import('../src/local/member-cache.js')
    const { printStatus } = await import('../src/terminal/status-view.js')
    using client = new ClusterClient(connection)
    const reader = new StatusReader(client)

    const once = async () => {
      const { status, clusterId, error, warnings, commitRate } = await reader.read()
      rememberMembers(connection.context?.name ?? null, status.nodes)
      const title = connection.context?.name ?? connection.endpoints.join(',')
      const playground = connection.context?.playground ? connection.context.name : null
      const advice = advise(status, { playground, paused: await pausedAddresses(playground) })
      return this.result(status, (out) => printStatus(out, status, { title, commitRate, advice }), {
        exitCode: flags['exit-code'] && status.verdict === 'degraded' ? 3 : 0,
        error,
        clusterId,
        warnings,
      })
    }
    return await (flags.watch === undefined ? once() : this.watch(flags.watch, once))
  }
}
