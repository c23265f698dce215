import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { mutationFlags } from '../../src/terminal/flags.js'

export default class GroupRemove extends ClusterCommand {
  static override summary = 'Remove a Raft group with all that it holds.'
  static override description =
    'Every node stops the group and deletes its files; nothing brings them back, so take a snapshot first (snapshot save). Asks for the name of the group, unless it was never founded. A node that is away would keep its copy: without --force nothing is removed then, and the same command finishes later. With --node only what lies on that node goes, which must be no member any more.'
  static override schema = 'raftctl.group.remove/1'
  static override impact = 'data' as const
  static override exitCodes = [5, 6, 7, 8, 11, 12, 13]
  static override seeAlso = ['group list', 'snapshot save', 'member remove', 'apply']
  static override args = { name: Args.string({ required: true, ignoreStdin: true, description: 'the group' }) }
  static override examples = [
    '<%= config.bin %> group remove orders',
    { description: 'In a script', command: '<%= config.bin %> group remove orders --confirm orders' },
    { description: 'What a removed member keeps', command: '<%= config.bin %> group remove orders --node n4 --confirm orders' },
  ]
  static override flags = {
    node: Flags.string({ helpValue: '<member>', description: 'what lies on this node only: name or host:port' }),
    'dry-run': mutationFlags['dry-run'],
    'plan-out': mutationFlags['plan-out'],
    confirm: mutationFlags.confirm,
    yes: Flags.boolean({ char: 'y', helpGroup: 'SAFETY', description: 'do not ask where nothing is lost: the group was never founded' }),
    force: Flags.boolean({ helpGroup: 'SAFETY', description: 'also when a node is away, or still a member' }),
    reason: mutationFlags.reason,
  }

  async run() {
    const { args, flags } = await this.parse(GroupRemove)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { ControlCalls } = await import('../../src/admin/engines/control-calls.js')
    const { draftRemoval, executeRemoval } = await import('../../src/admin/group-plan.js')
    const { writePlan } = await import('../../src/admin/plan-file.js')
    const { lossOf, printRemoved } = await import('../../src/terminal/group-view.js')
    using client = new ClusterClient(connection)
    using calls = new ControlCalls(connection)
    const request = { group: args.name, node: flags.node ?? null, force: flags.force === true }
    const drafted = await draftRemoval(client, calls, { ...request, reason: flags.reason ?? null })
    const { group, entries, silent, clusterId, copies, empty } = drafted.plan.action.remove
    const nodes = copies.map(({ uid: _, ...copy }) => ({ ...copy, removed: false, error: null }))
    const planned = { group, executed: false, entries, silent, nodes }
    if (flags['dry-run']) return this.result(planned, (out) => printRemoved(out, planned), { clusterId })
    const { plan, answer } = await this.decide(
      drafted,
      { ...flags, wait: true },
      {
        question: `Remove group ${group}? ${empty ? 'nothing was ever written to it' : lossOf({ entries, nodes: copies })}.`,
        name: group,
        production: this.production,
        data: () => planned,
        save: writePlan,
      },
    )
    if (answer) return answer
    const { outcome, error } = await executeRemoval(calls, plan)
    return this.result(outcome, (out) => printRemoved(out, outcome), { clusterId, error })
  }
}
