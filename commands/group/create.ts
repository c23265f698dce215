import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { mutationFlags } from '../../src/terminal/flags.js'

export default class GroupCreate extends ClusterCommand {
  static override summary = 'Create a Raft group on nodes that run.'
  static override description =
    'The members found the group together and elect a leader; it takes no writes before all of them host it. The same command again changes nothing, or finishes what was half created: a member whose disk was lost is rebuilt from the others. Members are those of the group of the context unless --members says which.'
  static override schema = 'raftctl.group.create/1'
  static override impact = 'membership' as const
  static override exitCodes = [5, 6, 7, 8, 11, 12, 13, 124]
  static override seeAlso = ['group list', 'group remove', 'member add']
  static override args = { name: Args.string({ required: true, ignoreStdin: true, description: 'of the new group' }) }
  static override examples = [
    '<%= config.bin %> group create orders',
    '<%= config.bin %> group create orders --members n1,n2,n3',
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
    yes: mutationFlags.yes,
    wait: Flags.boolean({ helpGroup: 'SAFETY', allowNo: true, default: true, description: 'until it has a leader (default)' }),
  }

  async run() {
    const { args, flags } = await this.parse(GroupCreate)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { ControlCalls } = await import('../../src/admin/engines/control-calls.js')
    const { executeCreate, halfCreated, planCreate, waitForLeader } = await import('../../src/admin/group-create.js')
    const { printCreated } = await import('../../src/terminal/group-view.js')
    using client = new ClusterClient(connection)
    using calls = new ControlCalls(connection)
    const list = (text: string | undefined) => (text === undefined ? null : text.split(',').map((one) => one.trim()))
    const request = { group: args.name, machine: flags.machine, members: list(flags.members), host: list(flags.host) }
    const plan = await planCreate(client, calls, request)
    const { clusterId, steps, group, uid, members, found } = plan
    if (flags['dry-run']) {
      const nodes = steps.map((step) => ({ ...step, created: false, error: null }))
      const data = { group, uid, members, found, executed: false, nodes, leader: null }
      return this.result(data, (out) => printCreated(out, data), { clusterId })
    }
    if (this.production && !flags.yes && found !== 'there')
      await this.confirmed({ message: `Create group ${group} on ${members.join(', ')}?`, flag: '--yes' })
    const outcome = await executeCreate(calls, plan)
    const failed = halfCreated(outcome)
    const isFounding = steps.some(({ as }) => as !== 'joiner')
    const { leader, error } =
      failed === null && flags.wait && isFounding ? await waitForLeader(calls, plan, connection) : { leader: null, error: failed }
    const data = { ...outcome, leader }
    return this.result(data, (out) => printCreated(out, data), { clusterId, error })
  }
}
