import { Args } from '@oclif/core'
import { ClusterCommand } from '../src/terminal/cluster-command.js'
import { DEFAULT_WAIT_MS, durationFlagOf } from '../src/terminal/flags.js'

export default class Wait extends ClusterCommand {
  static override summary = 'Wait until the cluster is as you need it.'
  static override description = 'Conditions: leader, leader=NAME, healthy, node=NAME:reachable, member=NAME:caught-up, commit>=N.'
  static override schema = 'raftctl.wait/1'
  static override exitCodes = [5, 7, 8, 124]
  static override seeAlso = ['status']
  static override examples = [
    '<%= config.bin %> wait leader',
    '<%= config.bin %> wait member=n3:caught-up --for 10m',
    { description: 'Quote what the shell would take for itself', command: "<%= config.bin %> wait 'commit>=1000'" },
  ]
  static override args = { condition: Args.string({ required: true, ignoreStdin: true, description: 'what to wait for' }) }
  static override flags = { for: durationFlagOf({ description: 'how long at most (default 60s)' }) }

  async run() {
    const { args, flags } = await this.parse(Wait)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../src/admin/cluster-client.js')
    const { parseCondition, waitFor } = await import('../src/admin/wait.js')
    parseCondition(args.condition)
    using client = new ClusterClient(connection)
    const { outcome, clusterId } = await waitFor(client, args.condition, { forMs: flags.for ?? DEFAULT_WAIT_MS, signal: this.interrupted })
    return this.result(outcome, (out) => out.line(`${outcome.message} after ${out.duration(outcome.afterMs)}`), { clusterId })
  }
}
