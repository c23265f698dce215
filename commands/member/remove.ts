import { Args } from '@oclif/core'
import { mutationFlags } from '../../src/terminal/flags.js'
import { MembershipCommand } from '../../src/terminal/membership-command.js'

export default class MemberRemove extends MembershipCommand {
  static override summary = 'Remove members, the leader and dead ones too.'
  static override description =
    'Refused when fewer voters than a quorum would be left reachable; the refusal says what to do instead. When the leader goes, leadership is handed over first. A removed member that runs stops by itself; one that is down is refused when it comes back. Its data stays where it is.'
  static override examples = [
    '<%= config.bin %> member remove n3',
    { description: 'Several in one step, by joint consensus', command: '<%= config.bin %> member remove n4 n5 --yes' },
    { description: 'By address', command: '<%= config.bin %> member remove 10.0.0.3:7003 --reason "the machine is gone"' },
  ]
  static override seeAlso = ['member replace', 'member list', 'node wipe']
  static override strict = false
  static override args = { member: Args.string({ required: true, ignoreStdin: true, description: 'name or host:port, one or more' }) }
  static override flags = mutationFlags

  async run() {
    const { argv, flags } = await this.parse(MemberRemove)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { membershipParts } = await import('../../src/admin/membership-parts.js')
    using client = new ClusterClient(connection)
    const request = {
      ...{ command: this.commandName, add: [], remove: argv as string[], force: flags.force === true, reason: flags.reason ?? null },
      catchupTimeoutMs: connection.timeoutMs,
    }
    return await this.change(flags, membershipParts(client, request, { verify: flags.wait, signal: this.interrupted }))
  }
}
