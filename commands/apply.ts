import { Args } from '@oclif/core'
import { mutationFlags } from '../src/terminal/flags.js'
import { MembershipCommand } from '../src/terminal/membership-command.js'
import type { Output } from '../src/terminal/output.js'

const { yes, confirm, wait } = mutationFlags

export default class Apply extends MembershipCommand {
  static override summary = 'Execute a plan that --plan-out wrote.'
  static override description =
    'One person plans, another looks at the file and executes it. A plan lives for five minutes and only while the members are those that it was made upon: after that it is exit 8, as it is on another cluster. It carries its own answers to the gates: what it was not forced to override stays refused.'
  static override schema = 'raftctl.apply/1'
  static override exitCodes = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 124]
  static override examples = [
    {
      description: 'Plan, then execute',
      command: '<%= config.bin %> member add n4=10.0.0.4:7004 --plan-out plan.json && <%= config.bin %> apply plan.json',
    },
    '<%= config.bin %> apply plan.json --yes',
  ]
  static override seeAlso = ['member add', 'member remove', 'member replace', 'leader transfer', 'recover plan', 'group create']
  static override args = { plan: Args.string({ required: true, ignoreStdin: true, description: 'the file' }) }
  static override flags = { yes, confirm, wait }

  async run() {
    const { args, flags } = await this.parse(Apply)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../src/admin/cluster-client.js')
    const { savedPlan } = await import('../src/admin/plan-execution.js')
    const { readPlan } = await import('../src/admin/plan-file.js')
    const file = readPlan(args.plan)
    using client = new ClusterClient(connection)
    const saved = await savedPlan(client, file, { verify: flags.wait, signal: this.interrupted })
    const { plan } = await this.decide(saved.drafted, flags, {
      question: saved.question,
      name: saved.name,
      production: this.production,
      replan: saved.recheck,
      data: (one) => ({ plan: one, executed: false, result: null }),
      save: () => {},
    })
    if (saved.members !== null) return await this.executed(saved.members, saved.parts)
    if (saved.recovery !== null) return await this.executed(saved.recovery.plan, saved.recovery.parts)
    if (saved.group !== null) {
      const { printCreated, printRemoved } = await import('../src/terminal/group-view.js')
      const { created, removed, error } = await saved.group()
      const print = (out: Output) => (created ? printCreated(out, created) : printRemoved(out, removed))
      return this.result({ plan, executed: true, result: created ?? removed }, print, { clusterId: file.clusterId, error })
    }
    const { printTransfer } = await import('../src/terminal/transfer-view.js')
    const done = await saved.transfer()
    return this.result({ plan, executed: true, result: done }, (out) => printTransfer(out, done), { clusterId: file.clusterId })
  }
}
