import { Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { handOverFlags } from '../../src/terminal/flags.js'

export default class LeaderStepDown extends ClusterCommand {
  static override summary = 'Have the leader hand over to the best other voter.'
  static override description =
    'As leader transfer, with the successor left to raftctl: the longest log, and between equals the nearest to the leader. Keep one out of it with --exclude, before its machine is worked on for instance.'
  static override schema = 'raftctl.leader.transfer/1'
  static override impact = 'leadership' as const
  static override exitCodes = [4, 5, 6, 7, 8, 12, 13, 124]
  static override seeAlso = ['leader transfer', 'leader show']
  static override examples = [
    '<%= config.bin %> leader step-down',
    '<%= config.bin %> leader step-down --exclude n3',
    { description: 'Only look', command: '<%= config.bin %> leader step-down --dry-run' },
  ]
  static override flags = {
    exclude: Flags.string({ helpValue: '<member>', description: 'who must not lead next: name, address or PeerId' }),
    ...handOverFlags,
  }

  async run() {
    const { flags } = await this.parse(LeaderStepDown)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { confirmationName } = await import('../../src/admin/plan.js')
    const { writePlan } = await import('../../src/admin/plan-file.js')
    const { leadsAlready, planTransfer } = await import('../../src/admin/transfer-plan.js')
    const { plannedOutcome, transfer } = await import('../../src/admin/transfer.js')
    const { printTransfer } = await import('../../src/terminal/transfer-view.js')
    using client = new ClusterClient(connection)
    const request = { command: this.commandName, target: null, exclude: flags.exclude ?? null, reason: flags.reason ?? null }
    const drafted = await planTransfer(client, request)
    const clusterId = drafted.plan.clusterId
    if (leadsAlready(drafted.plan))
      return this.result(plannedOutcome(drafted.plan), (out) => printTransfer(out, plannedOutcome(drafted.plan)), { clusterId })
    const { plan, answer } = await this.decide(drafted, flags, {
      question: `Hand leadership from ${drafted.plan.action.from.id} to ${drafted.plan.action.to.id}?`,
      name: confirmationName(drafted.plan),
      production: connection.context?.env === 'production',
      replan: () => planTransfer(client, request),
      data: plannedOutcome,
      save: writePlan,
    })
    if (answer) return answer
    const done = await transfer(client, plan, { wait: flags.wait, signal: this.interrupted })
    return this.result(done, (out) => printTransfer(out, done), { clusterId })
  }
}
