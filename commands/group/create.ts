import { Args, Flags } from '@oclif/core'
import type { GroupCreation } from '../../src/admin/group-plan.js'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { type MutationFlagValues, mutationFlags } from '../../src/terminal/flags.js'
import type { Drafted } from '../../src/terminal/plan-decision.js'

export default class GroupCreate extends ClusterCommand {
  static override summary = 'Create a Raft group on nodes that run.'
  static override description =
    'The members found the group together and elect a leader; it takes no writes before all of them host it. The same command again changes nothing, or finishes what was half created: a member whose disk was lost is rebuilt from the others. Members are those of the group of the context unless --members says which.'
  static override schema = 'raftctl.group.create/1'
  static override impact = 'membership' as const
  static override exitCodes = [5, 6, 7, 8, 9, 10, 11, 12, 13, 124]
  static override seeAlso = ['group list', 'group remove', 'member add', 'apply']
  static override args = { name: Args.string({ required: true, ignoreStdin: true, description: 'of the new group' }) }
  static override examples = [
    '<%= config.bin %> group create orders',
    '<%= config.bin %> group create orders --members n1,n2,n3',
    { description: 'Planned by one, executed by another', command: '<%= config.bin %> group create orders --plan-out orders.json' },
    {
      description: 'Have one more node host it, and make it a member',
      command: '<%= config.bin %> group create orders --host 10.0.0.4:7001',
    },
  ]
  static override flags = {
    members: Flags.string({ helpValue: '<a,b,c>', exclusive: ['host'], description: 'its founders, by name or host:port' }),
    host: Flags.string({
      helpValue: '<host:port,…>',
      description: 'nodes that are to host a group which is there, before member add makes them members of it',
    }),
    machine: Flags.string({ default: 'kv', helpValue: 'kv', description: 'what it runs: kv, the key-value store' }),
    'dry-run': mutationFlags['dry-run'],
    'plan-out': mutationFlags['plan-out'],
    yes: Flags.boolean({ char: 'y', helpGroup: 'SAFETY', description: 'do not ask; only a production context does' }),
    wait: Flags.boolean({ helpGroup: 'SAFETY', allowNo: true, default: true, description: 'until it has a leader (default)' }),
    reason: mutationFlags.reason,
  }

  async run() {
    const { args, flags } = await this.parse(GroupCreate)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { ControlCalls } = await import('../../src/admin/engines/control-calls.js')
    const { draftCreation, executeCreation } = await import('../../src/admin/group-plan.js')
    const { printCreated } = await import('../../src/terminal/group-view.js')
    using client = new ClusterClient(connection)
    using calls = new ControlCalls(connection)
    const list = (text: string | undefined) => (text === undefined ? null : text.split(',').map((one) => one.trim()))
    const names = { members: list(flags.members), host: list(flags.host) }
    const drafted = await draftCreation(client, calls, { group: args.name, machine: flags.machine, ...names, reason: flags.reason ?? null })
    const { create } = drafted.plan.action
    const { clusterId, steps, group, uid, members, found } = create
    const nodes = steps.map((step) => ({ ...step, created: false, error: null }))
    const planned = { group, uid, members, found, executed: false, nodes, leader: null }
    if (flags['dry-run'] || (flags['plan-out'] !== undefined && found === 'there')) {
      const warnings = flags['plan-out'] === undefined ? [] : [`${flags['plan-out']} was not written: there is nothing to be done`]
      return this.result(planned, (out) => printCreated(out, planned), { clusterId, warnings })
    }
    // What is there already needs no agreement and no line in the history.
    const agreed = found === 'there' ? { plan: drafted.plan, answer: null } : await this.agreed(drafted, flags, planned)
    if (agreed.answer) return agreed.answer
    const { outcome, error } = await executeCreation(calls, agreed.plan, { wait: flags.wait, timeoutMs: connection.timeoutMs })
    return this.result(outcome, (out) => printCreated(out, outcome), { clusterId, error })
  }
  private async agreed(drafted: Drafted<GroupCreation>, flags: MutationFlagValues, planned: object) {
    const { confirmationName } = await import('../../src/admin/plan.js')
    const { writePlan } = await import('../../src/admin/plan-file.js')
    const { group, members } = drafted.plan.action.create
    return await this.decide(drafted, flags, {
      question: `Create group ${group} on ${members.join(', ')}?`,
      name: confirmationName(drafted.plan),
      production: this.production,
      data: () => planned,
      save: writePlan,
    })
  }
}
