import { Args } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { handOverFlags } from '../../src/terminal/flags.js'

export default class LeaderTransfer extends ClusterCommand {
  static override summary = 'Hand leadership to another member.'
  static override description =
    'Asks the leader, wherever it is, and waits until the new one takes writes. The gap runs from the last write that the old leader acknowledged to the first entry that the new one committed; writes that arrive meanwhile are held, not failed. Without a member the one with the longest log leads next; between equals the nearest to the leader.'
  static override schema = 'raftctl.leader.transfer/1'
  static override impact = 'leadership' as const
  static override exitCodes = [4, 5, 6, 7, 8, 12, 13, 124]
  static override seeAlso = ['leader step-down', 'leader show', 'wait']
  static override examples = [
    '<%= config.bin %> leader transfer n2',
    { description: 'Whom it would choose, and why', command: '<%= config.bin %> leader transfer --dry-run' },
    { description: 'By address, from any member', command: '<%= config.bin %> leader transfer 10.0.0.2:7001 -e 10.0.0.3:7001' },
  ]
  static override args = {
    member: Args.string({ ignoreStdin: true, description: 'who leads next: name, address or PeerId; the best candidate when left out' }),
  }
  static override flags = handOverFlags

  async run() {
    const { args, flags } = await this.parse(LeaderTransfer)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { confirmationName } = await import('../../src/admin/plan.js')
    const { writePlan } = await import('../../src/admin/plan-file.js')
    const { leadsAlready, planTransfer } = await import('../../src/admin/transfer-plan.js')
    const { plannedOutcome, transfer } = await import('../../src/admin/transfer.js')
    const { printTransfer } = await import('../../src/terminal/transfer-view.js')
    using client = new ClusterClient(connection)
    const request = { command: this.commandName, target: args.member ?? null, exclude: null, reason: flags.reason ?? null }
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
